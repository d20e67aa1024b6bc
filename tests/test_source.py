"""What the laws of test_laws.py see in a source, and what they let be."""

from __future__ import annotations

import ast

import pytest
from comfyui_astria.devtools.source import imports_of
from comfyui_astria.tests.source import patches, replaced


@pytest.mark.parametrize(
    ("source", "at_start"),
    [
        ("import x", True),
        ("try:\n    import x\nexcept ImportError:\n    x = None", True),
        ("try:\n    y\nexcept ValueError:\n    from x import y", True),
        ("if True:\n    pass\nelse:\n    import x", True),
        ("class A:\n    import x", True),
        ("with a:\n    for b in c:\n        import x", True),
        ("def f():\n    import x", False),
        ("async def f():\n    import x", False),
        ("class A:\n    def f(self):\n        if self:\n            import x", False),
        ("if TYPE_CHECKING:\n    import x", False),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import x", True),
    ],
)
def test_the_laws_know_what_is_imported_at_the_start(source: str, at_start: bool) -> None:
    assert [(found.top, found.at_start) for found in imports_of(ast.parse(source), ("nodes",))] == [
        ("x", at_start)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import comfy.samplers\ncomfy.samplers.KSAMPLER = 1",
        "from comfy.model_base import Flux\nFlux.concat_cond = None",
        "import comfy.ops as ops\nsetattr(ops, 'x', 1)",
        "import sys\nsys.modules['cv2'] = None",
        "import nodes\nnodes.NODE_CLASS_MAPPINGS['X'] = 1",
    ],
)
def test_the_patching_law_sees_a_patch(source: str) -> None:
    assert len(list(patches(ast.parse(source)))) == 1


def test_the_patching_law_lets_own_objects_be() -> None:
    assert (
        list(
            patches(
                ast.parse(
                    "import comfy\nclass A: pass\na = A()\na.x = 1\nb = comfy.make()\nb.y = 2"
                )
            )
        )
        == []
    )


@pytest.mark.parametrize(
    "source",
    [
        "module.forward = f",
        "model.diffusion_model.blocks[0].forward = f",
        "a, layer.forward = b, f",
        "del layer.forward",
        "setattr(layer, 'forward', f)",
        "self.layer.__call__ = f",
        "patcher.model.sigmas = None",
        "self.patcher.model.diffusion_model.dtype = d",
        "model.model_sampling.shift: float = 1",
    ],
)
def test_the_patching_law_sees_a_replaced_method(source: str) -> None:
    assert len(list(replaced(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "self.run.forward = None",
        "run.forward = Forward(masks)",
        "self.model = model",
        "found.forward()",
        "self.grid.model = 1",
    ],
)
def test_the_patching_law_lets_own_values_be(source: str) -> None:
    assert list(replaced(ast.parse(source))) == []
