"""What README, docs/ and the help pages say, held against the code.

Nodes, sockets, commands, prompts, error texts, links.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from comfyui_astria.devtools.commands import USAGE
from comfyui_astria.devtools.structure import MAX_COLUMNS
from comfyui_astria.devtools.titles import TITLES
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings, address

ROOT = Path(__file__).resolve().parent.parent
HELP = ROOT / "web" / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *HELP.glob("*.md")])
DEFINITIONS = json.loads(
    (ROOT / "nodes" / "graph" / "node_definitions.json").read_text(encoding="utf-8")
)
NAMES = {title.file: name for name, title in TITLES.items()}
OWN_NODES = sorted(name for name in DEFINITIONS if name.startswith("Astria"))
# Parts of an error text shorter than this hold no words to look for.
SHORTEST_PART = 3
SHORTEST_SECTION = {"Example": 12, "What goes wrong": 12, "Related": 2}  # words
PICTURE_BYTES = 60_000
WITHOUT_ERRORS = {
    "AstriaAddToReport",
    "AstriaDepthMap",
    "AstriaEncodeImages",
    "AstriaSampler",
    "AstriaFitMasks",
    "AstriaPersonLora",
    "AstriaOutpaintMasks",
}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def label(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fences(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def strings() -> set[str]:
    """Every piece of text in the pack's code, the fixed parts of formatted ones included."""
    trees = [ast.parse(read(path)) for path in (ROOT / "nodes").rglob("*.py")]
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_node_has_a_help_page_and_every_page_a_node() -> None:
    declared = {
        name
        for path in (ROOT / "nodes").glob("*/*nodes.py")
        for name in re.findall(r'node_id="(\w+)"', read(path))
    }
    assert {page.stem for page in HELP.glob("*.md")} == declared == set(OWN_NODES)


def sockets(node: str) -> set[str]:
    """The names of a node's inputs and outputs."""
    entry = DEFINITIONS[node]
    return {
        *entry["input"].get("required", {}),
        *entry["input"].get("optional", {}),
        *entry["output_name"],
    }


def help_page(node: str) -> str:
    return read(HELP / f"{node}.md")


def broken(found: Mapping[str, object]) -> dict[str, object]:
    """What is found wrong, by page or node; those with nothing wrong are left out."""
    return {name: wrong for name, wrong in found.items() if wrong}


def test_help_pages_begin_with_the_name_of_their_node() -> None:
    titles = {node: f"# {DEFINITIONS[node]['display_name']}\n" for node in OWN_NODES}
    assert [node for node in OWN_NODES if not help_page(node).startswith(titles[node])] == []


def test_help_pages_name_every_socket() -> None:
    assert not broken(
        {
            node: [name for name in sockets(node) if f"`{name}`" not in help_page(node)]
            for node in OWN_NODES
        }
    )


def test_help_pages_name_no_socket_that_is_not_there() -> None:
    found = {}
    for node in OWN_NODES:
        text = help_page(node)
        tables = text[text.index("## Inputs") : text.index("## Example")]
        named = {
            name
            for row in re.findall(r"^\| (`[^|]*) \|", tables, re.MULTILINE)
            for name in re.findall(r"`([^`]+)`", row)
        }
        found[node] = named ^ sockets(node)
    assert not broken(found)


def test_help_pages_have_a_picture_an_example_and_what_goes_wrong() -> None:
    found = {}
    for node in OWN_NODES:
        text = help_page(node)
        parts = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE))
        found[node] = [
            heading
            for heading, least in SHORTEST_SECTION.items()
            if len(parts.get(heading, "").split()) < least
        ]
        shown = f"![{DEFINITIONS[node]['display_name']} in the editor](images/{node}.png)"
        if shown not in text[: text.index("## Inputs")]:
            found[node].append("picture")
        elif (HELP / "images" / f"{node}.png").stat().st_size > PICTURE_BYTES:
            found[node].append("picture too large")
    assert not broken(found)


def test_every_picture_of_the_help_pages_is_shown() -> None:
    assert {picture.stem for picture in (HELP / "images").iterdir()} == set(OWN_NODES), (
        "python dev.py pictures makes them anew"
    )


def test_help_pages_lead_to_workflows_with_their_node() -> None:
    graphs = {
        path.name.removesuffix(".api.json"): read(path)
        for path in (ROOT / "tests" / "workflows").glob("*.api.json")
    }
    assert graphs
    found = {}
    for node in OWN_NODES:
        using = {name for name, graph in graphs.items() if f'"class_type": "{node}"' in graph}
        lines = re.findall(r"^In the templates: (.*)\.$", help_page(node), re.MULTILINE)
        titles = {title for line in lines for title in re.findall(r"`([^`]+)`", line)}
        named = {NAMES.get(title, title) for title in titles}
        found[node] = named - using or (not named and using)
    assert not broken(found)


def test_quoted_error_texts_are_those_of_the_code(strings: set[str]) -> None:
    """In the first column under "What goes wrong", an ellipsis stands for what varies."""
    found = {}
    for node in OWN_NODES:
        text = help_page(node)
        errors = text[text.index("## What goes wrong") :]
        quoted = re.findall(r"^\| `([^`]+)` \|", errors, re.MULTILINE)
        parts = [
            part for message in quoted for part in message.split("…") if len(part) >= SHORTEST_PART
        ]
        found[node] = [part for part in parts if not any(part in string for string in strings)]
        if not quoted and node not in WITHOUT_ERRORS:
            found[node].append("no error is quoted")
    assert not broken(found)


def test_relative_links_and_pictures_lead_somewhere() -> None:
    found = {}
    for page in PAGES:
        targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", read(page)))
        relative = [
            target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)
        ]
        found[label(page)] = [target for target in relative if not (page.parent / target).exists()]
    assert not broken(found)


def headings(page: Path) -> set[str]:
    """The fragments of addresses that GitHub gives to the page's headings."""
    found = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


def test_links_into_a_page_lead_to_a_heading() -> None:
    found = {}
    for page in PAGES:
        linked = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)#([^)\s]+)\)", read(page))
        found[label(page)] = [
            f"{target}#{heading}"
            for target, heading in linked
            if heading not in headings(page.parent / target if target else page)
        ]
    assert not broken(found)


def test_named_commands_exist() -> None:
    commands = set(re.findall(r"^  ([a-z]+)\b", USAGE, re.MULTILINE))
    assert {"demo", "bind", "explain"} <= commands
    assert not broken(
        {label(page): set(re.findall(r"dev\.py ([a-z]+)", read(page))) - commands for page in PAGES}
    )


def test_named_measurements_exist() -> None:
    measured = {path.stem for path in (ROOT / "bench").glob("*.py")} | {"all", "gpu"}
    assert not broken(
        {
            label(page): set(re.findall(r"dev\.py bench ([a-z]+)", read(page))) - measured
            for page in PAGES
        }
    )


def test_shown_keys_can_be_bound() -> None:
    for page in PAGES:
        for key in re.findall(r"dev\.py bind (?:--remove )?([^\s`-]\S*)", read(page)):
            if key != "KEY":
                address(key)


def test_shown_prompts_hold_no_error() -> None:
    found = {}
    for page in PAGES:
        found[label(page)] = [
            problem.render(text)
            for text in fences(page, "prompt")
            for problem in PromptRequest.from_text(text)[1]
            if problem.severity == "error"
        ]
    assert not broken(found)


def test_shown_bindings_can_be_read() -> None:
    for page in PAGES:
        for text in fences(page, "ini"):
            assert Bindings.parse(text, label(page)).tunes


def test_prompts_and_bindings_are_shown_where_people_look_for_them() -> None:
    for page in (
        ROOT / "README.md",
        *(
            HELP / f"Astria{name}.md"
            for name in ("Prompt", "Generate", "Explain", "Compile", "EncodeRequest")
        ),
    ):
        assert fences(page, "prompt"), f"{label(page)} shows no prompt"
    for page in (ROOT / "docs" / "bindings.md", HELP / "AstriaModels.md"):
        assert fences(page, "ini"), f"{label(page)} shows no bindings"


def test_named_places_of_the_code_exist() -> None:
    found = {}
    for page in ("CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md", "README.md"):
        named = re.findall(r"`((?:nodes|tests|devtools|web|workflows)/[\w./]+)`", read(ROOT / page))
        found[page] = [place for place in named if not (ROOT / place).exists()]
        assert named or page == "README.md", f"{page} names no place"
    assert not broken(found)


def test_no_line_of_readme_is_wider_than_a_page() -> None:
    assert [line for line in read(ROOT / "README.md").splitlines() if len(line) > MAX_COLUMNS] == []


def test_every_decision_asks_a_question_and_says_what_would_change_it() -> None:
    parts = re.findall(
        r"^### (.+)\n((?:(?!^##).*\n?)*)", read(ROOT / "docs" / "decisions.md"), re.MULTILINE
    )
    assert [
        question
        for question, answer in parts
        if not question.endswith("?") or answer.count("*Would change it:*") != 1
    ] == []
    assert parts


def test_every_input_says_what_it_is_for() -> None:
    texts = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    silent = [
        f"{node}.{name}"
        for node, entry in texts.items()
        for name, one in entry.get("inputs", {}).items()
        if not one.get("tooltip")
    ]
    assert silent == []
