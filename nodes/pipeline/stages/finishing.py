"""Stages 8 to 10: colour grading, film grain, background removed."""

from __future__ import annotations

from ..build.plan_builder import PlanBuilder, StagePicture
from ..build.stage_list import Stage

GRAIN = {"strength": 0.5, "size": 1.0, "color": 0.3}


def add_color_grading(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    look = builder.request.color_grading
    graded = builder.graph.add(
        "color_grading.grade", "AstriaColorGrading", image=picture.image, look=look, strength=1.0
    )
    return picture.with_image(graded)


def add_film_grain(builder: PlanBuilder, stage: Stage, picture: StagePicture) -> StagePicture:
    seed = builder.settings.seed
    grained = builder.graph.add(
        "film_grain.grain", "AstriaFilmGrain", image=picture.image, **GRAIN, seed=seed
    )
    return picture.with_image(grained)


def add_remove_background(
    builder: PlanBuilder, stage: Stage, picture: StagePicture
) -> StagePicture:
    model = builder.require_for_stage(builder.loaders.model("background_removal"), stage)
    if model is None:
        return picture
    cut_out = builder.graph.add(
        "remove_background.remove",
        "AstriaRemoveBackground",
        image=picture.image,
        background_model=model,
    )
    return picture.with_image(cut_out)
