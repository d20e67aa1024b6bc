"""What a failed run says in the node that failed."""

from __future__ import annotations

from typing import Any

import pytest
from comfyui_astria.tests.host.graphs import node
from comfyui_astria.tests.web.browser import Editor, eventually
from playwright.sync_api import Locator, Route, expect

TOO_FEW = "The request has 0 person(s), and 'person_3' is asked for."
REPORT = "Report of the last run"


def alerts(editor: Editor) -> Locator:
    return editor.page.locator("textarea[role=alert]")


def run(editor: Editor) -> None:
    editor.page.evaluate("() => app.queuePrompt(0)")


def set_widget(editor: Editor, kind: str, name: str, value: Any) -> None:
    script = (
        "([kind, name, value]) => { app.graph._nodes.find(n => n.type === kind).widgets.find(w =>"
        " w.name === name).value = value; }"
    )
    editor.page.evaluate(script, [kind, name, value])


def size_in(saved: dict[str, Any]) -> list[float]:
    return next(one["size"] for one in saved["nodes"] if one["type"] == "AstriaRequestText")


@pytest.fixture
def failing(editor: Editor) -> Editor:
    """A node that asks for a person whom its prompt lacks."""
    graph = {
        "1": node("AstriaPrompt", text="a cat"),
        "2": node("AstriaRequestText", request=["1", 0], part="person_3"),
        "3": node("PreviewAny", source=["2", 0]),
    }
    editor.load_api(graph)
    return editor


def test_a_node_without_a_report_gets_a_box_until_the_next_run(failing: Editor) -> None:
    before = failing.saved()
    run(failing)
    expect(alerts(failing)).to_have_value(
        f"{TOO_FEW}\nEach BREAK after the second starts a person."
    )
    expect(alerts(failing)).to_be_visible()
    assert [one.get("widgets_values") for one in failing.saved()["nodes"]] == [
        one.get("widgets_values") for one in before["nodes"]
    ]
    set_widget(failing, "AstriaRequestText", "part", "base")
    run(failing)
    expect(alerts(failing)).to_have_count(0)
    eventually(lambda: size_in(failing.saved()), size_in(before))


def test_an_error_stays_with_the_workflow_that_was_run(failing: Editor) -> None:
    """Its twin in another tab has a node of the same number and class, and is not told, though it
    is the one that is open when the error comes.
    """
    failing.page.evaluate(
        "() => app.api.addEventListener('execution_error', ({ detail }) => { window.failure ="
        " detail; }, { once: true })"
    )
    run(failing)
    expect(alerts(failing)).to_have_count(1)
    first = failing.page.evaluate("() => app.rootGraph.id")
    failing.page.evaluate("() => app.extensionManager.command.execute('Comfy.DuplicateWorkflow')")
    failing.page.wait_for_function(
        "first => app.rootGraph.id !== first && app.graph._nodes.some(n => n.type ==="
        " 'AstriaRequestText')",
        arg=first,
    )
    expect(alerts(failing)).to_have_count(0)
    failing.page.evaluate("() => app.api.dispatchCustomEvent('execution_error', window.failure)")
    failing.page.wait_for_timeout(500)
    expect(alerts(failing)).to_have_count(0)
    run(failing)
    expect(alerts(failing)).to_have_count(1)


def test_failing_twice_leaves_one_box(failing: Editor) -> None:
    run(failing)
    expect(alerts(failing)).to_have_count(1)
    set_widget(failing, "AstriaRequestText", "part", "person_2")
    run(failing)
    expect(alerts(failing)).to_have_value(
        "The request has 0 person(s), and 'person_2' is asked for.\nEach BREAK after the second"
        " starts a person."
    )
    expect(alerts(failing)).to_have_count(1)


def test_a_node_with_a_report_says_it_there(editor: Editor) -> None:
    editor.add("AstriaExplain")
    for name, value in (("text", "a cat"), ("family", "flux"), ("base", "690204")):
        set_widget(editor, "AstriaExplain", name, value)
    run(editor)
    expect(alerts(editor)).to_have_value(
        "Family flux is chosen, which plans for connected models, and base 690204 as well.\n"
        "Empty base, or set family to 'from the bindings'."
    )
    assert alerts(editor).get_attribute("aria-label") == REPORT
    set_widget(editor, "AstriaExplain", "base", "")
    run(editor)
    editor.page.wait_for_function(
        "() => [...document.querySelectorAll('textarea[readonly]')].some(box =>"
        " box.value.startsWith('Model family'))"
    )
    expect(alerts(editor)).to_have_count(0)


def test_the_caret_of_a_prompt_over_a_link_stands_under_its_place(editor: Editor) -> None:
    graph = {
        "1": node("PrimitiveStringMultiline", value="a cat --outpaint topleft"),
        "2": node("AstriaPrompt", text=["1", 0]),
    }
    graph |= {
        "3": node("AstriaRequestText", request=["2", 0], part="base"),
        "4": node("PreviewAny", source=["3", 0]),
    }
    editor.load_api(graph)
    run(editor)
    expect(alerts(editor)).to_have_count(1)
    lines = alerts(editor).input_value().splitlines()
    shown = lines.index("a cat --outpaint topleft")
    carets = next(line for line in lines[shown:] if line.strip("^ ") == "" and "^" in line)
    assert "a cat --outpaint topleft"[carets.index("^") : len(carets)] in (
        "topleft",
        "--outpaint topleft",
    )
    assert alerts(editor).get_attribute("wrap") == "off"


FACES = """Finding faces by a model pack needs insightface and onnxruntime; No module (Python 3.12).
Install them in ComfyUI-Manager by Install PIP Packages: insightface>=1.0.1,<3 onnxruntime
In a terminal: "python" -m pip install "insightface>=1.0.1,<3" onnxruntime
Or use MediaPipe's model: bind face_detector in the Astria sidebar."""


@pytest.mark.parametrize(
    ("route", "status", "says"),
    [
        ("/v2/customnode/install/pip", 200, "restart ComfyUI"),
        ("/customnode/install/pip", 200, "restart ComfyUI"),
        ("/customnode/install/pip", 403, "does not allow it"),
        ("", 404, "ComfyUI-Manager is not there"),
    ],
)
def test_what_faces_need_is_installed_from_the_error(
    editor: Editor, route: str, status: int, says: str
) -> None:
    """By the Manager in its newer or older form, or told why not; MediaPipe is offered beside."""
    number = editor.add("AstriaExplain")
    script = """([id, told]) =>
        app.graph.getNodeById(id).widgets.find(one => one.name === 'report').tell(told)"""
    editor.page.evaluate(script, [number, FACES])
    asked = []

    def manager(handled: Route) -> None:
        if route and handled.request.url.endswith(f"/api{route}"):
            asked.append(handled.request.post_data)
            handled.fulfill(status=status)
        else:
            handled.fulfill(status=404)

    editor.page.route("**/customnode/install/pip", manager)
    try:
        expect(editor.page.get_by_role("button", name="Bind face_detector")).to_be_visible()
        editor.page.get_by_role("button", name="Install by the Manager").click()
        toast = editor.page.locator(".p-toast-message")
        expect(toast).to_contain_text(says)
        toast.get_by_role("button").click()
        expect(toast).to_have_count(0)
    finally:
        editor.page.unroute("**/customnode/install/pip")
    assert asked == ["insightface>=1.0.1,<3 onnxruntime"] * bool(route)
    editor.complaints.clear()  # the answers' status
