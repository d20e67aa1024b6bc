"""The examples show every documented feature, and all of the language that has an effect."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.examples import FLUX, SD15, SDXL, base_of
from comfyui_astria.devtools.titles import TITLES
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.pipeline.build.controls import controls_of
from comfyui_astria.nodes.pipeline.stages.control import KINDS
from comfyui_astria.nodes.prompt import FLAGS, PARAMETERS, PromptRequest, Segment
from comfyui_astria.nodes.prompt.catalog import CONTROLNETS, TAG_KINDS
from comfyui_astria.tests.workflows.features import CONTROL, FEATURES, WITHOUT

SPEAKING = {
    name: parameter.target for name, parameter in PARAMETERS.items() if parameter.has_effect
} | {name: name for name, flag in FLAGS.items() if flag.has_effect}


def graph_of(name: str) -> dict[str, Any]:
    """The example's graph as it is compiled now, by the plan's names."""
    return workflows.forms(name)[workflows.API_FORMS / f"{name}.api.json"]


def test_an_example_of_each_documented_feature_is_there_and_nothing_else() -> None:
    expected = sorted(FEATURES)
    assert workflows.names() == expected
    assert sorted(path.name for path in workflows.WORKFLOWS.glob("*.*")) == sorted(
        f"{TITLES[name].file}.{end}" for name in expected for end in ("jpg", "json")
    )
    assert sorted(path.name for path in workflows.API_FORMS.glob("*.json")) == [
        f"{name}.api.json" for name in expected
    ]


@pytest.mark.parametrize("example", FEATURES)
def test_an_example_has_what_its_feature_is_made_of(example: str) -> None:
    graph = graph_of(example)
    for name, (kind, said, inputs) in FEATURES[example].items():
        assert name in graph
        found = graph[name]
        assert (name, found["class_type"], {key: found["inputs"].get(key) for key in inputs}) == (
            name,
            kind,
            inputs,
        )
        assert [part for part in said if part not in found["inputs"]["text"]] == []
    assert WITHOUT.get(example) not in graph


def graph_when(name: str, request: PromptRequest | None = None) -> dict[str, Any] | None:
    """The graph that an example's prompt gives, or another in its place.

    None where that one cannot run.
    """
    try:
        made = workflows.compiled(name, request)
    except AstriaError:
        return None
    return {called: (call.class_type, call.inputs) for called, call in made.graph.nodes.items()}


def tells(change: Callable[[PromptRequest], PromptRequest]) -> list[str]:
    """The examples that become another workflow when their prompt is changed."""
    found = []
    for name in workflows.prompt_names():
        asked = workflows.request_of(name)
        changed = change(asked)
        if changed != asked and graph_when(name, changed) != graph_when(name):
            found.append(name)
    return found


# What a prompt cannot leave out alone is changed instead.
OTHERWISE: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("w", "h", "outpaint_width", "outpaint_height"), lambda side: side + 64),
    "outpaint": lambda anchor: "top-left",
    "controlnets": lambda kinds: ("tile", *kinds[1:]),
}


def unset(request: PromptRequest, field: str) -> PromptRequest:
    """The request without what it says in this field."""
    value = getattr(request, field)
    if field in OTHERWISE:
        return request if value is None else replace(request, **{field: OTHERWISE[field](value)})
    [default] = [
        one.default if one.default is not MISSING else ()
        for one in fields(request)
        if one.name == field
    ]
    return replace(request, **{field: default})


@pytest.mark.parametrize("spelled", SPEAKING)
def test_each_parameter_and_flag_makes_a_difference_in_some_example(
    spelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the parameter the same prompt compiles to something else.

    So it stands in a prompt, and is not passed over.
    """
    # One prompt sets the seed that the examples have anyhow.
    monkeypatch.setattr(workflows, "SEED", workflows.SEED + 1)
    assert tells(lambda request: unset(request, SPEAKING[spelled]))


def retold(pattern: str) -> Callable[[PromptRequest], PromptRequest]:
    """What takes the pattern out of a prompt's text."""
    return lambda request: PromptRequest.require(re.sub(pattern, "", request.to_text()))


TAGS = {kind: retold(rf"<{kind}:[^>]*>") for kind in TAG_KINDS} | {"embedding": retold(r"<\w+> ?")}
EMPTY = Segment()
PARTS: Mapping[str, Callable[[PromptRequest], PromptRequest]] = {
    "the base prompt": lambda asked: (
        replace(asked, prompt=(EMPTY, *asked.prompt[1:])) if asked.persons else asked
    ),
    "the common prompt": lambda asked: (
        replace(asked, prompt=(asked.base, EMPTY, *asked.persons)) if asked.persons else asked
    ),
    "a person": lambda asked: (
        replace(asked, prompt=asked.prompt[:-1]) if len(asked.persons) > 1 else asked
    ),
    "a person's negative": lambda asked: replace(asked, negative=asked.negative[:2]),
    "brackets that weigh": lambda asked: (
        asked if asked.use_lpw is False else replace(asked, use_lpw=False)
    ),
}


@pytest.mark.parametrize("what", [*TAGS, *PARTS])
def test_each_part_of_a_prompt_makes_a_difference_in_some_example(what: str) -> None:
    assert tells({**TAGS, **PARTS}[what])


def test_the_kinds_of_controlnet_that_are_not_built_are_known() -> None:
    """They are no ControlNets; a request for one is refused with the reason."""
    assert set(CONTROLNETS) - set(KINDS) == {"composition", "reference", "ipadapter"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_controlnet_steers_some_example(kind: str) -> None:
    asking = [
        name
        for name in workflows.prompt_names()
        if kind in [control.kind for control in controls_of(workflows.request_of(name))]
    ]
    assert asking
    for name in asking:
        assert graph_of(name)[f"base.control_{kind}"]["class_type"] == CONTROL


@pytest.mark.parametrize("field", ["outpaint", "inpaint_faces", "faceids"])
def test_what_each_family_does_in_its_own_way_has_an_example_for_each(field: str) -> None:
    def asks(request: PromptRequest) -> bool:
        return (
            any(segment.faceids for segment in request.prompt)
            if field == "faceids"
            else bool(getattr(request, field))
        )

    assert {
        base_of(name) for name in workflows.prompt_names() if asks(workflows.request_of(name))
    } == {FLUX, SD15, SDXL}
