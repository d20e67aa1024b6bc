"""The OpenAPI document held against the live server, and requests made from it and by hostile hands: never a 5xx, nothing left behind."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import re
import socket
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from comfyui_astria.nodes.api import openapi
from comfyui_astria.nodes.host.api_attributes import ATTRIBUTES
from comfyui_astria.nodes.tunes.store import DATABASE_FILE
from comfyui_astria.tests.host.api_support import SMALL, Api, Receiver, api_of, png, settings_of
from comfyui_astria.tests.host.fixtures import LiveHost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HANDLERS = Path(__file__).resolve().parents[2] / "nodes" / "host" / "api_handlers.py"


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
    routes = set(re.findall(r'\("([A-Z]+)", "(/[^"]*)"\):', HANDLERS.read_text(encoding="utf-8")))
    assert routes == {(method.upper(), path) for path, entry in document["paths"].items() for method in entry if method != "parameters"}
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_good_requests_are_answered_as_promised(api: Api, document: dict[str, Any]) -> None:
    files = [("tune[images][]", ("1.png", png()))]
    made = api.post("/tunes", data={"tune[title]": "contract", "tune[model_type]": "faceid"}, files=files)
    valid(document, made, "/tunes", "post")
    assert made.status_code == 201
    prompt = api.post("/tunes/690204/prompts", json={"text": "a cat", "use_lpw": "true", "cfg_scale": "5", **SMALL})
    valid(document, prompt, "/tunes/{id}/prompts", "post")
    assert prompt.status_code == 201
    api.finished(prompt.json())
    for path, filled in {"/tunes": "/tunes", "/tunes/{id}": f"/tunes/{made.json()['id']}", "/tunes/{id}/prompts": "/tunes/690204/prompts",
                         "/tunes/{id}/prompts/{prompt_id}": f"/tunes/690204/prompts/{prompt.json()['id']}"}.items():
        answer = api.get(filled)
        assert answer.status_code == 200
        valid(document, answer, path, "get")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=5)
NAMES = st.sampled_from(["text", "prompt", "tune", "title", "model_type", "images", "image_urls", "callback", "w", "h", "steps", "seed", "style",
                         "num_images", "input_image", "input_image_url", "input_image_base64", "mask_image", "base_tune_id", "branch", "file",
                         "controlnet", "denoising_strength", "prompts_attributes", "super_resolution", "hires_fix", "face_swap", "scheduler",
                         "token", "cfg_scale"])
LIKELY = st.sampled_from(["faceid", "lora", "true", "-1", "1e400", "../../x", "http://127.0.0.1/", "data:image/png;base64,AAAA", "\x00", "\ud800",
                          "a cat", "<lora:1:1>", "<faceid:1:1>", "BREAK", "--outpaint center", 0, -1, 2**70, 1e308, [], {}, None, True])
BODIES = st.dictionaries(NAMES, JSON | LIKELY, max_size=6)
IDS = st.sampled_from(["690204", "1504944", "1", "0", "-1", "99999999999999999999", "x", "%00", "..%2f..", "a.json", "é"])


@settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(["/generate", "/tunes", "/tunes/{id}/prompts"]), IDS, BODIES, st.sampled_from([None, "prompt", "tune"]))
def test_any_json_gives_a_promised_answer(api: Api, document: dict[str, Any], path: str, id: str, body: dict, wrapper: str | None) -> None:
    sent = json.dumps(body if wrapper is None else {wrapper: {**SMALL, **body}}).encode("utf-8", "surrogatepass")
    answer = api.post(path.format(id=id), data=sent, headers={"Content-Type": "application/json"})
    valid(document, answer, path, "post")
    if answer.status_code == 201 and "prompt" in answer.json()["url"]:
        api.delete(f"/tunes/{answer.json()['tune_id']}/prompts/{answer.json()['id']}")


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
        return st.integers(-(-schema["minimum"] // step), schema["maximum"] // step).map(lambda number: number * step)
    kinds = {"number": st.floats(schema.get("minimum"), schema.get("maximum")), "boolean": st.booleans()}
    return kinds.get(schema["type"], st.text(min_size=schema.get("minLength", 0), max_size=12))


SENT = st.one_of([st.tuples(st.just(path), from_schema(entry["post"]["requestBody"]["content"]["application/json"]["schema"]))
                  for path, entry in PROMISED["paths"].items() if "post" in entry])


def small(body: dict[str, Any]) -> dict[str, Any]:
    """A valid request is run: at once, on small pictures."""
    for wrapper in ("prompt", "tune"):
        if isinstance(body.get(wrapper), dict):
            return {wrapper: small(body[wrapper])}
    return {**body, **SMALL, "callback": ""} if "title" not in body else body


@settings(max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True)
@given(SENT)
def test_what_the_document_allows_gives_a_promised_answer(api: Api, document: dict[str, Any], sent: tuple[str, dict[str, Any]]) -> None:
    path, body = sent
    answer = api.post(path.format(id=690204), json=small(body))
    valid(document, answer, path, "post")
    if answer.status_code == 201 and "prompt" in answer.json()["url"]:
        api.delete(f"/tunes/{answer.json()['tune_id']}/prompts/{answer.json()['id']}")


@settings(max_examples=80, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(["get", "delete"]), st.sampled_from(["/tunes", "/tunes/{id}", "/tunes/{id}/prompts", "/tunes/{id}/prompts/{prompt_id}",
                                                            "/tunes/{id}/images/{name}"]), IDS, IDS, st.text(max_size=8))
def test_any_address_gives_a_promised_answer(api: Api, document: dict[str, Any], method: str, path: str, id: str, other: str, text: str) -> None:
    if method not in document["paths"][path]:
        return
    filled = path.format(id=id, prompt_id=other, name=requests.utils.quote(text, safe="") or "x")
    query = {} if "{" in path else {"limit": text, "offset": other, "title": text}
    answer = api.session.request(method, api.url + filled, params=query, timeout=60)
    valid(document, answer, path, method)


BOUNDARY = "b0undary"


def part(name: str, content: bytes, file_name: str | None = None, more: str = "") -> bytes:
    told = f'; filename="{file_name}"' if file_name is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{told}\r\n{more}\r\n'.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
START = f"--{BOUNDARY}\r\n".encode()
FACEID = part("tune[title]", b"hostile") + part("tune[model_type]", b"faceid")
LORA = part("tune[title]", b"hostile") + part("tune[model_type]", b"lora")
BOMB = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452000186a0000186a00802000000") + bytes(8)
MULTIPART: dict[str, bytes] = {
    "no end": FACEID, "nothing": b"", "no boundary": b"hello", "only end": END, "half a header": START + b"Content-Disp",
    "no disposition": START + b"\r\nx\r\n" + END, "no name": START + b"Content-Disposition: form-data\r\n\r\nx\r\n" + END,
    "text that is not UTF-8": part("tune[title]", b"\xff\xfe") + END, "an endless header": START + b"X: " + b"a" * 100_000,
    "many headers": START + b"".join(b"X%d: a\r\n" % number for number in range(5000)) + b"\r\n" + END,
    "nested parts": START + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n" + END,
    "many parts": part("a[]", b"") * 3000 + END,
    "photo: a bomb": FACEID + part("tune[images][]", BOMB, "a.png") + END,
    "photo: a pickle": FACEID + part("tune[images][]", pickle.dumps([1]), "a.png") + END,
    "photo: no picture": FACEID + part("tune[images][]", b"x" * 1000, "../../../evil.py") + END,
    "photo: text": FACEID + part("tune[images][]", b"../../../etc/passwd") + END,
    "photo: half": FACEID + part("tune[images][]", png()[:200], "a.png") + END,
    "photo: a bad encoding": FACEID + part("tune[images][]", b"a", "a.png", "Content-Transfer-Encoding: base64\r\n") + END,
    "photo: packed": FACEID + part("tune[images][]", gzip.compress(bytes(10_000_000)), "a.png", "Content-Encoding: gzip\r\n") + END,
    "model: a pickle": LORA + part("tune[file]", pickle.dumps([1]), "a.safetensors") + END,
    "model: a way out": LORA + part("tune[file]", b"../../../etc/passwd") + END,
    "model: absolute": LORA + part("tune[file]", b"/etc/passwd") + END,
    "model: cut": LORA + part("tune[file]", b"\x00" * 1000, "a.safetensors")[:-500],
    "model in a photo set": FACEID + part("tune[images][]", png(), "a.png") + part("tune[file]", pickle.dumps(1), "a.safetensors") + END,
}


def kept(host: LiveHost) -> set[str]:
    """Every file of the host that requests could leave something in, and every line of the database."""
    folders = [host.base / "input", host.base / "models", host.base / "output", host.state, host.base / "temp"]
    files = {str(path) for folder in folders for path in folder.rglob("*") if path.is_file() and "sqlite3" not in path.name}
    with closing(sqlite3.connect(host.state / DATABASE_FILE)) as connection:
        return files | {line for line in connection.iterdump() if "sqlite_sequence" not in line}


def raw(host: LiveHost, request: bytes) -> int:
    """Send bytes to the server, close our side, and return the status of the answer, 0 for none."""
    port = int(host.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 30) as peer:
        peer.sendall(request)
        peer.shutdown(socket.SHUT_WR)
        answer = peer.recv(1000)
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize("what", MULTIPART)
def test_a_hostile_form_is_refused_and_leaves_nothing(api: Api, host: LiveHost, what: str) -> None:
    before = kept(host)
    for path in ("/tunes", "/tunes/690204/prompts", "/generate"):
        answer = api.post(path, data=MULTIPART[what], headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["message"]
    assert kept(host) == before


# Names of this machine and of networks that are not public, in every spelling that some resolver or library takes for one.
INSIDE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://LOCALHOST.:{port}/", "http://[::1]:{port}/", "http://127.1:{port}/",
    "http://2130706433:{port}/", "http://017700000001:{port}/", "http://0x7f000001:{port}/", "http://0x7f.1:{port}/", "http://0177.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/", "http://\u2460\u2461\u2466.0.0.1:{port}/", "http://127\u30020.0.1:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/",
    "http://[::]:{port}/", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://metadata.google.internal/",
    "http://10.0.0.1/", "http://example.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@example.com/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/%0d%0aX: y", "jar:http://127.0.0.1:{port}/!/", "//127.0.0.1:{port}/", "http://x.localhost:{port}/"]


@pytest.mark.parametrize("url", INSIDE)
def test_the_server_is_sent_nowhere_inside(api: Api, host: LiveHost, url: str) -> None:
    with Receiver() as inside, settings_of(host, "fetch_urls = yes\n"):
        before, address = kept(host), url.replace("{port}", str(inside.port))
        faceid = {"title": "hostile", "model_type": "faceid"}
        for path, sent in (("/tunes", {**faceid, "image_urls": [address]}), ("/generate", {"prompt": "a cat", "callback": address, **SMALL}),
                           ("/tunes", {**faceid, "images": [encoded()], "callback": address}),
                           ("/generate", {"prompt": "a cat", "input_image_url": address, **SMALL})):
            answer = api.post(path, json=sent)
            assert 400 <= answer.status_code < 500, f"{path} {answer.text}"
        assert (kept(host), inside.gets, inside.arrived) == (before, [], [])


def test_a_redirect_leads_nowhere_inside(api: Api, host: LiveHost) -> None:
    with Receiver() as allowed, Receiver() as inside, settings_of(host, "fetch_urls = yes\nprivate_hosts = localhost\n"):
        for address in (f"http://127.0.0.1:{inside.port}/", f"http://[::1]:{inside.port}/", "file:///etc/passwd", "http://169.254.169.254/"):
            sent = {"title": "hostile", "model_type": "faceid", "image_urls": [f"http://localhost:{allowed.port}/to/{address}"]}
            assert api.post("/tunes", json=sent).status_code == 422
        assert (len(allowed.gets), inside.gets) == (4, [])
        sent["image_urls"] = [f"http://localhost:{allowed.port}/to/http://localhost:{allowed.port}/photo"]
        made = api.post("/tunes", json=sent)
        assert made.status_code == 201, made.text
        api.delete(f"/tunes/{made.json()['id']}")


def encoded() -> str:
    return base64.b64encode(png()).decode()


@pytest.mark.parametrize(("kind", "body"), [
    ("multipart/form-data", b"x"), ("multipart/form-data; boundary=", b"x"), ("multipart/mixed; boundary=a", b"--a--"), ("image/png", b"x"),
    ("application/json", b"\xff"), ("application/json", b"{" * 10_000), ("application/x-www-form-urlencoded", b"a=%ff&&&=;"), ("text/html", b"<b>"),
    ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(3000)))])
def test_other_bodies_are_refused(api: Api, kind: str, body: bytes) -> None:
    for path in ("/tunes", "/generate", "/tunes/690204/prompts"):
        answer = api.post(path, data=body, headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500, answer.text


def test_a_packed_body_is_counted_unpacked(api: Api, host: LiveHost) -> None:
    with settings_of(host, "max_request_mb = 1\n"):
        packed = zlib.compress(b'{"text": "' + b" " * 20_000_000 + b'"}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
        assert api.post("/generate", data=packed, headers=headers).status_code == 413
        assert api.post("/tunes", data=FACEID + part("tune[images][]", bytes(2_000_000), "a.png") + END,
                        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}).status_code == 413


@pytest.mark.parametrize("request_text", [
    b"POST /astria/tunes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{}",
    b"POST /astria/tunes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /astria/tunes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=a\r\nContent-Length: 1000\r\n\r\n--a\r\n",
    b"GET /astria/tunes/../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
def test_broken_requests_break_nothing(host: LiveHost, api: Api, request_text: bytes) -> None:
    assert raw(host, request_text) in (0, 400, 403, 404)
    assert api.get("/tunes").status_code == 200


def test_pages_of_other_sites_and_other_names_are_refused(api: Api) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        assert api.get("/tunes", headers=headers).status_code == 403
        assert api.post("/generate", json={"prompt": "a cat"}, headers=headers).status_code == 403


def test_the_server_never_stumbled(host: LiveHost) -> None:
    """Last in this file: an exception that nobody handled would stand in the log with its traceback."""
    log = host.log_text()
    assert "comfyui_astria/nodes" not in log.replace("\\", "/")
    assert "has stopped following" not in log
