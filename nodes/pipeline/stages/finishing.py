"""Stages 8 to 10: colour grading, film grain, background removed."""

from __future__ import annotations

from ...graph.graph import Value
from ..build.plan_builder import Desk
from ..build.stage_list import Stage

GRAIN = {"strength": 0.5, "size": 1.0, "color": 0.3}


def add_color_grading(desk: Desk, stage: Stage, image: Value) -> Value:
    look = desk.request.color_grading
    return desk.graph.add(
        "color_grading.grade", "AstriaColorGrading", image=image, look=look, strength=1.0
    )


def add_film_grain(desk: Desk, stage: Stage, image: Value) -> Value:
    return desk.graph.add(
        "film_grain.grain", "AstriaFilmGrain", image=image, **GRAIN, seed=desk.settings.seed
    )


def add_remove_background(desk: Desk, stage: Stage, image: Value) -> Value:
    model = desk.for_stage(desk.kit.model("background_removal"), stage)
    if model is None:
        return image
    return desk.graph.add(
        "remove_background.remove", "AstriaRemoveBackground", image=image, background_model=model
    )
