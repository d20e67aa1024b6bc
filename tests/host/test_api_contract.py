"""The OpenAPI document held against the live server.

Requests made from it and beside it have answers that it promises, never a 5xx.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from comfyui_astria.nodes.api import openapi
from comfyui_astria.nodes.api.attributes import ATTRIBUTES
from comfyui_astria.tests.host.api_bodies import BODIES, IDS
from comfyui_astria.tests.host.api_support import SMALL, Api, api_of, png
from comfyui_astria.tests.host.fixtures import LiveHost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HANDLERS = Path(__file__).resolve().parents[2] / "nodes" / "api" / "host"


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    return api.get("/openapi.json").json()


def valid(document: dict[str, Any], answer: requests.Response, path: str, method: str) -> None:
    """Assert that the answer is one that the document promises, and no fault of the server."""
    assert answer.status_code < 500, f"{answer.status_code} {answer.text[:300]}"
    responses = document["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, f"{answer.status_code} {answer.text[:300]}"
    content = responses[str(answer.status_code)].get("content", {})
    if "application/json" in content:
        schema = {**content["application/json"]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_the_document_names_every_route_and_no_other(document: dict[str, Any]) -> None:
    written = "".join(path.read_text(encoding="utf-8") for path in sorted(HANDLERS.rglob("*.py")))
    routes = set(re.findall(r'\("([A-Z]+)", "(/[^"]*)"\):', written))
    assert routes == {
        (method.upper(), path)
        for path, entry in document["paths"].items()
        for method in entry
        if method != "parameters"
    }
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


# A good request for every operation, in an order in which each finds what it needs.
GOOD: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("get", "/openapi.json", {}),
    ("post", "/generate", {"json": {"prompt": "a dog", **SMALL}}),
    ("get", "/tunes", {}),
    ("get", "/tunes/{id}", {}),
    ("patch", "/tunes/{id}", {"json": {"title": "changed"}}),
    ("get", "/tunes/{id}/images/{name}", {}),
    ("get", "/gallery/tunes", {}),
    ("get", "/prompts", {}),
    *(
        (method, f"{where}{ending}", {})
        for where in ("/prompts/{prompt_id}", "/tunes/{id}/prompts/{prompt_id}")
        for method, ending in (
            ("get", ""),
            ("post", "/likes"),
            ("delete", "/likes"),
            ("post", "/duplicate"),
        )
    ),
    ("post", "/prompts/{prompt_id}/like", {}),
    ("delete", "/prompts/{prompt_id}/like", {}),
    ("get", "/tunes/{id}/prompts", {}),
    ("delete", "/tunes/{id}/prompts/{prompt_id}", {}),
    ("delete", "/prompts/{other_id}", {}),
    ("delete", "/tunes/{id}", {}),
    ("get", "/packs", {}),
    ("get", "/gallery/packs", {}),
    ("get", "/packs/{pack}", {}),
    ("get", "/p/{pack}", {}),
    ("post", "/p/{pack}/tunes", {"json": {"title": "by the contract", "model_type": "lora"}}),
    ("delete", "/packs/{pack}", {}),
    ("post", "/images/inspect", {"files": {"file": ("1.png", png())}}),
)
PACK = {"title": "contract", "branch": "fast", "prompts_attributes": [{"text": "a", **SMALL}]}


def test_every_operation_answers_a_good_request_as_promised(
    api: Api, document: dict[str, Any]
) -> None:
    files = [("tune[images][]", ("1.png", png()))]
    made = api.post(
        "/tunes", data={"tune[title]": "contract", "tune[model_type]": "faceid"}, files=files
    )
    valid(document, made, "/tunes", "post")
    tune = made.json()
    path = f"/tunes/{tune['id']}/prompts"
    sent = {"text": "a cat", "use_lpw": "true", "cfg_scale": "5", **SMALL}
    prompt, other = (api.post(path, json=sent) for _ in range(2))
    valid(document, prompt, "/tunes/{id}/prompts", "post")
    ids = {"id": tune["id"], "name": tune["orig_images"][0].rpartition("/")[2]}
    ids |= {"prompt_id": prompt.json()["id"], "other_id": other.json()["id"]}
    api.finished(prompt.json())
    pack = api.post("/packs", json={"pack": PACK})
    valid(document, pack, "/packs", "post")
    ids["pack"] = pack.json()["id"]
    fleet = api.get("/fleet")
    assert fleet.status_code == 404, "there is none here"
    valid(document, fleet, "/fleet", "get")
    done = {("post", "/tunes"), ("post", "/tunes/{id}/prompts"), ("post", "/packs")}
    done.add(("get", "/fleet"))
    for method, path, body in GOOD:
        answer = api.session.request(method, api.url + path.format(**ids), timeout=60, **body)
        assert answer.status_code in (200, 201), answer.text
        promised = path.replace("other_id", "prompt_id").replace("{pack}", "{id}")
        valid(document, answer, promised, method)
        done.add((method, promised))
    assert done == {
        (method, path)
        for path, entry in document["paths"].items()
        for method in entry
        if method != "parameters"
    }


def clean_up(api: Api, answer: requests.Response) -> None:
    """Delete what a request of the tests has made."""
    made = answer.json() if answer.status_code == 201 else {}
    if "prompts_per_class" in made:
        api.delete(f"/packs/{made['id']}")
    elif "tune_id" in made:
        api.delete(f"/tunes/{made['tune_id']}/prompts/{made['id']}")
    elif made:
        api.delete(f"/tunes/{made['id']}")


@settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.sampled_from(
        [
            "/generate",
            "/tunes",
            "/tunes/{id}",
            "/tunes/{id}/prompts",
            "/prompts/{prompt_id}/duplicate",
            "/packs",
            "/p/{id}/tunes",
            "/images/inspect",
        ]
    ),
    IDS,
    BODIES,
    st.sampled_from([None, "prompt", "tune", "pack"]),
)
def test_any_json_gives_a_promised_answer(
    api: Api, document: dict[str, Any], path: str, id: str, body: dict, wrapper: str | None
) -> None:
    sent = json.dumps(body if wrapper is None else {wrapper: {**SMALL, **body}}).encode(
        "utf-8", "surrogatepass"
    )
    method = "patch" if path == "/tunes/{id}" else "post"
    answer = api.session.request(
        method,
        api.url + path.format(id=id, prompt_id=id),
        data=sent,
        headers={"Content-Type": "application/json"},
        timeout=60,
    )
    valid(document, answer, path, method)
    clean_up(api, answer)


PROMISED = openapi.document("http://127.0.0.1", ATTRIBUTES, needs_key=False)


def from_schema(schema: dict[str, Any]) -> st.SearchStrategy:
    """Whatever a schema of the document allows."""
    if "$ref" in schema:
        return from_schema(PROMISED["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return st.one_of([from_schema(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "object":
        known = {key: from_schema(one) for key, one in schema["properties"].items()}
        needed = {key: known.pop(key) for key in schema["required"]}
        return st.fixed_dictionaries(needed, optional=known)
    if schema["type"] == "array":
        return st.lists(from_schema(schema["items"]), max_size=3)
    if schema["type"] == "integer":
        step = schema.get("multipleOf", 1)
        return st.integers(-(-schema["minimum"] // step), schema["maximum"] // step).map(
            lambda number: number * step
        )
    kinds = {
        "number": st.floats(schema.get("minimum"), schema.get("maximum")),
        "boolean": st.booleans(),
    }
    return kinds.get(schema["type"], st.text(min_size=schema.get("minLength", 0), max_size=12))


SENT = st.one_of(
    [
        st.tuples(
            st.just(path),
            from_schema(entry["post"]["requestBody"]["content"]["application/json"]["schema"]),
        )
        for path, entry in PROMISED["paths"].items()
        if "requestBody" in entry.get("post", {})
    ]
)


@pytest.fixture(scope="module")
def ids(api: Api) -> dict[str, int]:
    """Ids that are there: of a base, and of a prompt of it."""
    return {"id": 690204, "prompt_id": api.create_prompt("of the contract")["id"]}


def small(body: dict[str, Any]) -> dict[str, Any]:
    """A valid request is run: at once, on small pictures."""
    for wrapper in ("prompt", "tune", "pack"):
        if isinstance(body.get(wrapper), dict):
            return {wrapper: small(body[wrapper])}
    if "title" not in body:
        return {**body, **SMALL, "callback": ""}
    prompts = [{**one, **SMALL, "callback": ""} for one in body.get("prompts_attributes", [])]
    return {**body, "callback": "", "prompts_attributes": prompts}


@settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
@given(SENT)
def test_what_the_document_allows_gives_a_promised_answer(
    api: Api, document: dict[str, Any], ids: dict[str, int], sent: tuple[str, dict[str, Any]]
) -> None:
    path, body = sent
    answer = api.post(path.format(**ids), json=small(body))
    valid(document, answer, path, "post")
    clean_up(api, answer)


def form_field(schema: dict[str, Any]) -> st.SearchStrategy:
    """Whatever a form may hold for one name.

    A file's content or text, in a list where the name is sent several times.
    """
    if "anyOf" in schema:
        return st.one_of([form_field(one) for one in schema["anyOf"]])
    if schema.get("type") == "array":
        return st.lists(form_field(schema["items"]), max_size=3)
    if schema.get("format") == "binary":
        return st.sampled_from([png(8, 8, seed=1), png(8, 8, seed=2), b"no picture"])
    return from_schema(schema).map(
        lambda value: str(value).lower() if isinstance(value, bool) else str(value)
    )


def form_of(schema: dict[str, Any]) -> st.SearchStrategy:
    schema = PROMISED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    known = {name: form_field(one) for name, one in schema["properties"].items()}
    needed = {name: known.pop(name) for name in schema["required"]}
    return st.fixed_dictionaries(needed, optional=known)


FORMS = st.one_of(
    [
        st.tuples(
            st.just(path),
            st.just(kind),
            form_of(entry["post"]["requestBody"]["content"][kind]["schema"]),
        )
        for path, entry in PROMISED["paths"].items()
        if "requestBody" in entry.get("post", {})
        for kind in ("multipart/form-data", "application/x-www-form-urlencoded")
    ]
)


def small_form(form: dict[str, Any], path: str) -> dict[str, Any]:
    wrapper = {
        "/generate": "{}",
        "/tunes": "tune[prompts_attributes][0][{}]",
        "/packs": "pack[prompts_attributes][0][{}]",
        "/p/{id}/tunes": "tune[prompt_attributes][{}]",
        "/images/inspect": "",
    }.get(path, "prompt[{}]")
    has_prompt = wrapper and (path != "/tunes" or wrapper.format("text") in form)
    smaller = (
        {wrapper.format(key): str(value) for key, value in SMALL.items()} if has_prompt else {}
    )
    return {**{name: value for name, value in form.items() if "callback" not in name}, **smaller}


@settings(max_examples=120, suppress_health_check=list(HealthCheck), derandomize=True)
@given(FORMS)
def test_forms_as_the_document_spells_them_are_read(
    api: Api, document: dict[str, Any], ids: dict[str, int], sent: tuple[str, str, dict[str, Any]]
) -> None:
    path, kind, form = sent
    pairs = [
        (name, one)
        for name, value in small_form(form, path).items()
        for one in (value if isinstance(value, list) else [value])
    ]
    if kind == "multipart/form-data":
        parts = [
            (name, ("a.png", value) if isinstance(value, bytes) else (None, value.encode()))
            for name, value in pairs
        ]
        answer = api.post(path.format(**ids), files=parts)
    else:
        answer = api.post(path.format(**ids), data=pairs)
    assert answer.status_code != 400, f"it cannot be read: {answer.text[:300]}"
    valid(document, answer, path, "post")
    clean_up(api, answer)
    if answer.status_code == 201:
        assert not any(
            "is not read" in notice or "is not a known parameter" in notice
            for notice in answer.json().get("notices", ())
        )


def test_a_form_of_the_document_makes_what_its_fields_say(
    api: Api, document: dict[str, Any]
) -> None:
    multipart = document["components"]["schemas"]["TuneAttributesMultipart"]["properties"]
    sent = [
        ("tune[title]", "by the document"),
        ("tune[model_type]", "faceid"),
        ("tune[prompts_attributes][0][text]", "a cat"),
    ]
    sent += [(f"tune[prompts_attributes][0][{key}]", str(value)) for key, value in SMALL.items()]
    photos = [("tune[images][]", ("1.png", png(seed=seed))) for seed in (1, 2)]
    assert {name for name, _ in (*sent, *photos)} <= set(multipart)
    tune = api.post("/tunes", data=sent, files=photos).json()
    assert (tune["title"], len(tune["orig_images"])) == ("by the document", 2)
    [prompt] = api.get(f"/tunes/{tune['id']}/prompts").json()
    assert (prompt["text"], prompt["w"]) == ("a cat", SMALL["w"])
    api.delete(f"/tunes/{tune['id']}")


@settings(max_examples=80, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.sampled_from(["get", "delete"]),
    st.sampled_from(
        [
            "/tunes",
            "/tunes/{id}",
            "/tunes/{id}/prompts",
            "/tunes/{id}/prompts/{prompt_id}",
            "/tunes/{id}/images/{name}",
            "/packs",
            "/packs/{id}",
            "/p/{id}",
            "/prompts",
            "/prompts/{prompt_id}",
            "/prompts/{prompt_id}/likes",
            "/gallery/tunes",
        ]
    ),
    IDS,
    IDS,
    st.text(max_size=8),
)
def test_any_address_gives_a_promised_answer(
    api: Api, document: dict[str, Any], method: str, path: str, id: str, other: str, text: str
) -> None:
    if method not in document["paths"][path]:
        return
    filled = path.format(id=id, prompt_id=other, name=requests.utils.quote(text, safe="") or "x")
    query = {"limit": text, "offset": other, "before_id": other, "title": text, "text": text}
    query = {} if "{" in path else query
    answer = api.session.request(method, api.url + filled, params=query, timeout=60)
    valid(document, answer, path, method)


def test_the_server_never_stumbled(host: LiveHost) -> None:
    """Last in this file.

    An exception that nobody handled would stand in the log with its traceback.
    """
    log = host.log_of_module()
    assert "comfyui_astria/nodes" not in log.replace("\\", "/")
    assert "has stopped following" not in log
