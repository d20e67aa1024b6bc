"""The examples run where something stands in for the packages that the bundle of `dev.py bench gpu`
leaves out, so none of their nodes calls what is not there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from comfyui_astria.devtools import gpu_bundle, workflows
from comfyui_astria.devtools.client import images_of
from comfyui_astria.tests.host.fixtures import live_host
from comfyui_astria.tests.host.running import LiveHost
from comfyui_astria.tests.workflows.furnish import furnish
from comfyui_astria.tests.workflows.small import PASTED, tiny_example


def with_every_node() -> list[str]:
    """Return a few of the examples that together have every kind of node that any of them has."""
    kinds = {
        name: {entry["class_type"] for entry in tiny_example(name).values()}
        for name in (*workflows.prompt_names(), *PASTED)
    }
    few, left = [], set().union(*kinds.values())
    while left:
        few.append(max(kinds, key=lambda name: len(kinds[name] & left)))
        left -= kinds[few[-1]]
    return few


@pytest.fixture(scope="module")
def bundled_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHost]:
    """A host that finds what stands in for packages in their place, with all that the examples ask
    for.
    """
    beside = tmp_path_factory.mktemp("beside")
    gpu_bundle.stand_in_for(gpu_bundle.STOOD_IN, beside)
    path = [*(str(beside / name) for name in gpu_bundle.STOOD_IN), os.environ.get("PYTHONPATH")]
    variables = (("PYTHONPATH", os.pathsep.join(filter(None, path))),)
    for live in live_host(tmp_path_factory.mktemp("bundled_host"), variables=variables):
        furnish(live)
        yield live


@pytest.mark.parametrize("name", with_every_node())
def test_an_example_needs_nothing_that_is_left_out(bundled_host: LiveHost, name: str) -> None:
    assert images_of(bundled_host.client.run(tiny_example(name)), "output.save")
