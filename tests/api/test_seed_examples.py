"""No request that the service's pages print is left out of the examples that the tests run."""

from __future__ import annotations

import re

import pytest
from comfyui_astria.tests.api.seed_examples import EXAMPLES, PAGES


@pytest.mark.parametrize(
    ("request_line", "count"),
    [
        (r"^curl -X POST", 6),
        (r"^ *(?:return )?fetch\(", 4),
        (r"^response = requests\.post\(", 4),
        (r"^POST https://", 1),
        (r"api\.astria\.ai", 14),
    ],
)
def test_every_printed_request_is_in_an_example(request_line: str, count: int) -> None:
    printed, cut = (
        sum(len(re.findall(request_line, text, re.MULTILINE)) for text in texts.values())
        for texts in (PAGES, EXAMPLES)
    )
    assert printed == cut == count


def test_each_example_is_of_its_language() -> None:
    triples = {
        (name, kind) for name in ("tune", "prompt", "outpaint") for kind in ("sh", "js", "py")
    }
    assert set(EXAMPLES) == {("generate", "http"), *triples}
    marks = {
        "sh": "curl -X POST",
        "js": "method: 'POST'",
        "py": "requests.post(",
        "http": "POST https://",
    }
    for (_, kind), text in EXAMPLES.items():
        assert [other for other, mark in marks.items() if mark in text] == [kind]
