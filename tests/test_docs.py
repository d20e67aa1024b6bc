"""What README, docs/ and the help pages say, held against the code.

Nodes, sockets, commands, prompts, error texts, links.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from comfyui_astria.devtools.commands import USAGE
from comfyui_astria.devtools.structure import MAX_COLUMNS
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings, address

ROOT = Path(__file__).resolve().parent.parent
HELP = ROOT / "web" / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *HELP.glob("*.md")])
DEFINITIONS = json.loads(
    (ROOT / "nodes" / "graph" / "node_definitions.json").read_text(encoding="utf-8")
)
OWN_NODES = sorted(name for name in DEFINITIONS if name.startswith("Astria"))
# Parts of an error text shorter than this hold no words to look for.
SHORTEST_PART = 3
SHORTEST_SECTION = {"Example": 12, "What goes wrong": 12, "Related": 2}  # words
PICTURE_BYTES = 60_000
WITHOUT_ERRORS = {
    "AstriaAddToReport",
    "AstriaDepthMap",
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


@pytest.mark.parametrize("node", OWN_NODES)
def test_a_help_page_names_its_node_and_every_socket(node: str) -> None:
    entry, text = DEFINITIONS[node], read(HELP / f"{node}.md")
    assert text.startswith(f"# {entry['display_name']}\n")
    names = [
        *entry["input"].get("required", {}),
        *entry["input"].get("optional", {}),
        *entry["output_name"],
    ]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("node", OWN_NODES)
def test_a_help_page_names_no_socket_that_is_not_there(node: str) -> None:
    entry, text = DEFINITIONS[node], read(HELP / f"{node}.md")
    known = {
        *entry["input"].get("required", {}),
        *entry["input"].get("optional", {}),
        *entry["output_name"],
    }
    tables = text[text.index("## Inputs") : text.index("## Example")]
    named = {
        name
        for row in re.findall(r"^\| (`[^|]*) \|", tables, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }
    assert named == known


@pytest.mark.parametrize("node", OWN_NODES)
def test_a_help_page_has_a_picture_an_example_and_what_goes_wrong(node: str) -> None:
    text = read(HELP / f"{node}.md")
    parts = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE))
    for heading in ("Example", "What goes wrong", "Related"):
        assert len(parts[heading].split()) >= SHORTEST_SECTION[heading], heading
    picture = HELP / "images" / f"{node}.png"
    assert (
        f"![{DEFINITIONS[node]['display_name']} in the editor](images/{node}.png)"
        in text[: text.index("## Inputs")]
    )
    assert picture.stat().st_size <= PICTURE_BYTES


def test_every_picture_of_the_help_pages_is_shown() -> None:
    assert {picture.stem for picture in (HELP / "images").iterdir()} == set(OWN_NODES), (
        "python dev.py pictures makes them anew"
    )


@pytest.mark.parametrize("node", OWN_NODES)
def test_a_help_page_leads_to_workflows_with_its_node(node: str) -> None:
    graphs = {
        path.name.removesuffix(".api.json"): read(path)
        for path in (ROOT / "tests" / "workflows").glob("*.api.json")
    }
    using = {name for name, graph in graphs.items() if f'"class_type": "{node}"' in graph}
    lines = re.findall(r"^In the templates: (.*)\.$", read(HELP / f"{node}.md"), re.MULTILINE)
    named = [name for line in lines for name in re.findall(r"`(\w+)`", line)]
    assert set(named) <= using
    assert bool(named) == bool(using)


@pytest.mark.parametrize("node", OWN_NODES)
def test_quoted_error_texts_are_those_of_the_code(node: str, strings: set[str]) -> None:
    """In the first column under "What goes wrong", an ellipsis stands for what varies."""
    text = read(HELP / f"{node}.md")
    quoted = re.findall(r"^\| `([^`]+)` \|", text[text.index("## What goes wrong") :], re.MULTILINE)
    assert quoted or node in WITHOUT_ERRORS
    parts = [
        part for message in quoted for part in message.split("…") if len(part) >= SHORTEST_PART
    ]
    assert [part for part in parts if not any(part in string for string in strings)] == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_relative_links_and_pictures_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", read(page)))
    relative = [
        target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)
    ]
    assert [target for target in relative if not (page.parent / target).exists()] == []


def headings(page: Path) -> set[str]:
    """The fragments of addresses that GitHub gives to the page's headings."""
    found = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    linked = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)#([^)\s]+)\)", read(page))
    gone = [
        f"{target}#{heading}"
        for target, heading in linked
        if heading not in headings(page.parent / target if target else page)
    ]
    assert gone == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_named_commands_exist(page: Path) -> None:
    commands = set(re.findall(r"^  ([a-z]+)\b", USAGE, re.MULTILINE))
    assert {"demo", "bind", "explain"} <= commands
    named = re.findall(r"dev\.py ([a-z]+)", read(page))
    assert [name for name in named if name not in commands] == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_named_measurements_exist(page: Path) -> None:
    named = set(re.findall(r"dev\.py bench ([a-z]+)", read(page))) - {"all"}
    assert {name for name in named if not (ROOT / "bench" / f"{name}.py").is_file()} == set()


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_shown_keys_can_be_bound(page: Path) -> None:
    for key in re.findall(r"dev\.py bind (?:--remove )?([^\s`-]\S*)", read(page)):
        if key != "KEY":
            address(key)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_shown_prompts_hold_no_error(page: Path) -> None:
    for text in fences(page, "prompt"):
        assert [
            found.render(text)
            for found in PromptRequest.from_text(text)[1]
            if found.severity == "error"
        ] == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_shown_bindings_can_be_read(page: Path) -> None:
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


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "docs/architecture.md", "docs/decisions.md", "README.md"]
)
def test_named_places_of_the_code_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:nodes|tests|devtools|web|workflows)/[\w./]+)`", text)
    gone = [place for place in named if not (ROOT / place).exists()]
    assert gone == []
    assert named or page == "README.md"


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
