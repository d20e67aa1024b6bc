"""No input takes more than linear time.

Counted in characters scanned and in calls made, never by a clock.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from comfyui_astria.nodes.prompt import PromptRequest, lexer, notices, parse, parser
from comfyui_astria.nodes.prompt.suggest import did_you_mean

# (what stands once, what is repeated): each makes some rule look ahead, look back or give up.
HOSTILE = {
    "openings": ("", "<"),
    "unclosed tags": ("", "<lora:"),
    "long unclosed tag": ("<lora:", "a"),
    "tag kinds": ("", "<x:a> "),
    "embeddings": ("", "<e> "),
    "brackets": ("", "("),
    "mixed brackets": ("", "(["),
    "closings": ("(", ")"),
    "crossed brackets": ("", "([)"),
    "hyphens": ("", "-"),
    "hyphenated": ("", "-a"),
    "dashes apart": ("", "- "),
    "flags on one line": ("", "--multi "),
    "valued flags on one line": ("", "--outpaint x "),
    "unknown flags": ("", "--xq "),
    "unclosed quotes": ("", '--outpaint_prompt "a '),
    "quoted words": ("--mask_prompt ", "'a' "),
    "quotes inside words": ("--mask_prompt ", "'a'a "),
    "quotes that swallow flags": ("", "--mask_prompt '--x' "),
    "brackets in words": ("--mask_prompt ", "<"),
    "BREAK": ("", "BREAK "),
    "nearly BREAK": ("", "B"),
    "equals": ("", "="),
    "keys without equals": ("", "seed\n"),
    "nearly parameters": ("", "num_image=1\n"),
    "empty lines": ("", "\n"),
    "blanks": ("", " "),
    "unknown parameters": ("w=8\nh=8\n", "foo=1\n"),
    "stray lines": ("w=8\nh=8\n", "stray\n"),
    "lines of a negative prompt": ("negative_prompt=", "a\n"),
    "tags in a negative prompt": ("negative_prompt=", "<lora:a:1>"),
    "escapes": ("", "\\("),
    "one word": ("", "a"),
    "digits": ("w=", "9"),
    "decimal digits": ("cfg_scale=", "0"),
    "colons": ("<lora:", ":"),
    "negative prompts of another program": ("a\n", "Negative prompt:\n"),
    "lines of settings": ("a\n", "Steps: 30, Seed: 1\n"),
    "settings on one line": ("a\nSteps: 30, Seed: 1", ", Key: value"),
    "settings with open quotes": ("a\nSteps: 30, Seed: 1", ', K: "v'),
    "settings with open brackets": ("a\nSteps: 30, Seed: 1", ", K: [{"),
    "open square brackets": ("", "[a:"),
    "braces": ("", "{a"),
    "underscores": ("", "__a"),
    "weights with commas": ("", "(a:1,2)"),
    "wide characters": ("", "\uff08"),
    "glued BREAK": ("", "/BREAK/"),
    "options of a LoRA": ("<lora:x", ":a=b"),
    "commas where tags were": ("a", ",<lora:x:1>"),
}


class CountingScanner(lexer.Scanner):
    """Counts the characters that are looked at or copied."""

    scanned = 0

    def search(self, pattern: re.Pattern[str], start: int, end: int) -> re.Match[str] | None:
        found = super().search(pattern, start, end)
        CountingScanner.scanned += (found.end() if found else max(start, end)) - start
        return found

    def match(self, pattern: re.Pattern[str], start: int, end: int) -> re.Match[str] | None:
        found = super().match(pattern, start, end)
        CountingScanner.scanned += (found.end() if found else start) - start + 1
        return found

    def run(self, pattern: re.Pattern[str], start: int, end: int) -> int:
        stop = super().run(pattern, start, end)
        CountingScanner.scanned += stop - start + 1
        return stop

    def slice(self, start: int, end: int) -> str:
        CountingScanner.scanned += end - start
        return super().slice(start, end)


def _hostile(name: str, length: int) -> str:
    once, repeated = HOSTILE[name]
    return once + repeated * (length // len(repeated))


def _scanned(text: str) -> int:
    CountingScanner.scanned = 0
    parse(text)
    return CountingScanner.scanned


def _calls(action: Callable[[], object]) -> int:
    """Return how many functions, Python's own included, `action` calls."""
    count = 0

    def count_call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", HOSTILE)
def test_characters_scanned_grow_with_the_length(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parser, notices):
        monkeypatch.setattr(module, "Scanner", CountingScanner)
    small, large = _hostile(name, 4_000), _hostile(name, 16_000)
    scanned = _scanned(large)
    assert scanned <= 4.4 * _scanned(small) + 1000
    assert scanned <= 40 * len(large)


@pytest.mark.parametrize("name", HOSTILE)
def test_calls_grow_with_the_length(name: str) -> None:
    small, large = _hostile(name, 2_000), _hostile(name, 8_000)
    few, many = (_calls(lambda text=text: PromptRequest.from_text(text)) for text in (small, large))
    # Calls made only until the list of diagnostics is full weigh more in the smaller text, so the
    # ratio may fall below 4.
    assert many <= 4.4 * few + 2000


def test_a_quarter_of_a_million_characters_parse() -> None:
    text = "a (woman:1.2) <lora:1:0.5> in a ready-to-wear hat, " * 5_000
    request = PromptRequest.require(text)
    assert len(text) > 250_000
    assert len(request.base.loras) == 5_000


def test_suggestions_do_not_look_at_words_of_any_length() -> None:
    assert did_you_mean("a" * 10**6, ["a" * 10**6]) is None
