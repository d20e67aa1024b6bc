"""Requests by hostile hands on the live server.

Refused, with nothing left behind and nobody asked inside its network.
"""

from __future__ import annotations

import base64
import gzip
import pickle
import socket
import sqlite3
import zlib
from contextlib import closing

import pytest
from comfyui_astria.nodes.tunes.store import DATABASE_FILE
from comfyui_astria.tests.host.api_support import (
    SMALL,
    Api,
    Receiver,
    api_of,
    faceid,
    png,
    settings_of,
)
from comfyui_astria.tests.host.fixtures import LiveHost


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    """The host's API, with the database that the first stored tune makes."""
    api = api_of(host)
    tune = faceid(api, "before the hostile ones").json()
    api.delete(f"/tunes/{tune['id']}")
    return api


BOUNDARY = "b0undary"


def part(name: str, content: bytes, file_name: str | None = None, more: str = "") -> bytes:
    told = f'; filename="{file_name}"' if file_name is not None else ""
    head = f'Content-Disposition: form-data; name="{name}"{told}\r\n{more}\r\n'
    return f"--{BOUNDARY}\r\n{head}".encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
START = f"--{BOUNDARY}\r\n".encode()
FACEID = part("tune[title]", b"hostile") + part("tune[model_type]", b"faceid")
LORA = part("tune[title]", b"hostile") + part("tune[model_type]", b"lora")
BOMB = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452000186a0000186a00802000000") + bytes(8)
MULTIPART: dict[str, bytes] = {
    "no end": FACEID,
    "nothing": b"",
    "no boundary": b"hello",
    "only end": END,
    "half a header": START + b"Content-Disp",
    "no disposition": START + b"\r\nx\r\n" + END,
    "no name": START + b"Content-Disposition: form-data\r\n\r\nx\r\n" + END,
    "text that is not UTF-8": part("tune[title]", b"\xff\xfe") + END,
    "no charset": part("_charset_", b"a" * 40) + END,
    "an endless header": START + b"X: " + b"a" * 100_000,
    "many headers": (
        START + b"".join(b"X%d: a\r\n" % number for number in range(5000)) + b"\r\n" + END
    ),
    "nested parts": (
        START + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n" + END
    ),
    "many parts": part("a[]", b"") * 3000 + END,
    "photo: a bomb": FACEID + part("tune[images][]", BOMB, "a.png") + END,
    "photo: a pickle": FACEID + part("tune[images][]", pickle.dumps([1]), "a.png") + END,
    "photo: no picture": FACEID + part("tune[images][]", b"x" * 1000, "../../../evil.py") + END,
    "photo: text": FACEID + part("tune[images][]", b"../../../etc/passwd") + END,
    "photo: half": FACEID + part("tune[images][]", png()[:200], "a.png") + END,
    "photo: a bad encoding": (
        FACEID
        + part("tune[images][]", b"a", "a.png", "Content-Transfer-Encoding: base64\r\n")
        + END
    ),
    "photo: packed": (
        FACEID
        + part(
            "tune[images][]",
            gzip.compress(bytes(10_000_000)),
            "a.png",
            "Content-Encoding: gzip\r\n",
        )
        + END
    ),
    "model: a pickle": LORA + part("tune[file]", pickle.dumps([1]), "a.safetensors") + END,
    "model: a way out": LORA + part("tune[file]", b"../../../etc/passwd") + END,
    "model: absolute": LORA + part("tune[file]", b"/etc/passwd") + END,
    "model: cut": LORA + part("tune[file]", b"\x00" * 1000, "a.safetensors")[:-500],
    "model: two": (
        LORA
        + part("tune[file]", b"1", "a.safetensors")
        + part("tune[file]", b"2", "b.safetensors")
        + END
    ),
    "model: two by other names": (
        LORA + part("tune[file]", b"1", "a.safetensors") + part("file", b"2", "b.safetensors") + END
    ),
    "model in a photo set": (
        FACEID
        + part("tune[images][]", png(), "a.png")
        + part("tune[file]", pickle.dumps(1), "a.safetensors")
        + END
    ),
}


def kept(host: LiveHost) -> set[str]:
    """Every file of the host that requests could leave something in, and every line of the
    database.
    """
    folders = [
        host.base / "input",
        host.base / "models",
        host.base / "output",
        host.state,
        host.base / "temp",
    ]
    files = {
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "sqlite3" not in path.name
    }
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
        answer = api.post(
            path,
            data=MULTIPART[what],
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["message"]
    assert kept(host) == before


# Names of this machine and of networks that are not public, in every spelling that some resolver or
# library takes for one.
INSIDE = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://[::1]:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://017700000001:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/",
    "http://127\u30020.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::]:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/",
    "http://10.0.0.1/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/%0d%0aX: y",
    "jar:http://127.0.0.1:{port}/!/",
    "//127.0.0.1:{port}/",
    "http://x.localhost:{port}/",
]


@pytest.mark.parametrize("url", INSIDE)
def test_the_server_is_sent_nowhere_inside(api: Api, host: LiveHost, url: str) -> None:
    with Receiver() as inside, settings_of(host, "fetch_urls = yes\n"):
        before, address = kept(host), url.replace("{port}", str(inside.port))
        faceid = {"title": "hostile", "model_type": "faceid"}
        for path, sent in (
            ("/tunes", {**faceid, "image_urls": [address]}),
            ("/generate", {"prompt": "a cat", "callback": address, **SMALL}),
            ("/tunes", {**faceid, "images": [encoded()], "callback": address}),
            ("/generate", {"prompt": "a cat", "input_image_url": address, **SMALL}),
        ):
            answer = api.post(path, json=sent)
            assert 400 <= answer.status_code < 500, f"{path} {answer.text}"
        assert (kept(host), inside.gets, inside.arrived) == (before, [], [])


def test_a_redirect_leads_nowhere_inside(api: Api, host: LiveHost) -> None:
    with (
        Receiver() as allowed,
        Receiver() as inside,
        settings_of(host, "fetch_urls = yes\nprivate_hosts = localhost\n"),
    ):
        for address in (
            f"http://127.0.0.1:{inside.port}/",
            f"http://[::1]:{inside.port}/",
            "file:///etc/passwd",
            "http://169.254.169.254/",
        ):
            sent = {
                "title": "hostile",
                "model_type": "faceid",
                "image_urls": [f"http://localhost:{allowed.port}/to/{address}"],
            }
            assert api.post("/tunes", json=sent).status_code == 422
        assert (len(allowed.gets), inside.gets) == (4, [])
        sent["image_urls"] = [
            f"http://localhost:{allowed.port}/to/http://localhost:{allowed.port}/photo"
        ]
        made = api.post("/tunes", json=sent)
        assert made.status_code == 201, made.text
        api.delete(f"/tunes/{made.json()['id']}")


def encoded() -> str:
    return base64.b64encode(png()).decode()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/mixed; boundary=a", b"--a--"),
        ("image/png", b"x"),
        ("application/json", b"\xff"),
        ("application/json", b"{" * 10_000),
        ("application/x-www-form-urlencoded", b"a=%ff&&&=;"),
        ("text/html", b"<b>"),
        (
            "application/x-www-form-urlencoded",
            b"&".join(b"a%d=1" % number for number in range(3000)),
        ),
    ],
)
def test_other_bodies_are_refused(api: Api, kind: str, body: bytes) -> None:
    for path in ("/tunes", "/generate", "/tunes/690204/prompts"):
        answer = api.post(path, data=body, headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500, answer.text


def test_a_packed_body_is_counted_unpacked(api: Api, host: LiveHost) -> None:
    with settings_of(host, "max_request_mb = 1\n"):
        packed = zlib.compress(b'{"text": "' + b" " * 20_000_000 + b'"}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "deflate"}
        assert api.post("/generate", data=packed, headers=headers).status_code == 413
        assert (
            api.post(
                "/tunes",
                data=FACEID + part("tune[images][]", bytes(2_000_000), "a.png") + END,
                headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
            ).status_code
            == 413
        )


def test_a_model_file_is_taken_where_tunes_are_made_and_nowhere_else(
    api: Api, host: LiveHost
) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    with settings_of(host, "max_image_mb = 1\n"):
        before, large = kept(host), part("file", bytes(2_000_000), "a.safetensors")
        for url in (
            f"{api.url}/generate",
            f"{api.url}/tunes/690204/prompts",
            f"{host.url}/astria/editor/tunes",
        ):
            answer = api.session.post(
                url,
                data=part("title", b"hostile") + part("text", b"a cat") + large + END,
                headers=headers,
                timeout=60,
            )
            assert answer.status_code == 413, f"{url} {answer.text}"
        two = api.post("/tunes", data=LORA + large + large + END, headers=headers)
        assert (two.status_code, two.json()["error"]["message"]) == (
            400,
            "the request holds two model files",
        )
        assert kept(host) == before


def test_the_pictures_that_a_request_has_fetched_share_one_budget(api: Api, host: LiveHost) -> None:
    with (
        Receiver() as web,
        settings_of(host, "fetch_urls = yes\nprivate_hosts = 127.0.0.1\nmax_request_mb = 1\n"),
    ):
        before, large = kept(host), f"http://127.0.0.1:{web.port}/large"
        faceid = {"title": "hostile", "model_type": "faceid"}
        prompt = {"text": "a cat", "input_image_url": large, **SMALL}
        for sent in (
            {"image_urls": [large, large]},
            {"image_urls": [large], "prompts_attributes": [prompt]},
        ):
            answer = api.post("/tunes", json={**faceid, **sent})
            assert (answer.status_code, answer.json()["error"]["type"]) == (
                422,
                "web-address",
            ), answer.text
            assert "it sends more than" in answer.json()["error"]["message"]
        assert kept(host) == before
        assert (
            api.delete(
                f"/tunes/{api.post('/tunes', json={**faceid, 'image_urls': [large]}).json()['id']}"
            ).status_code
            == 200
        )


@pytest.mark.parametrize(
    "request_text",
    [
        (
            b"POST /astria/tunes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type:"
            b" application/json\r\nContent-Length: 1000\r\n\r\n{}"
        ),
        (
            b"POST /astria/tunes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type:"
            b" application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        ),
        (
            b"POST /astria/tunes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data;"
            b" boundary=a\r\nContent-Length: 1000\r\n\r\n--a\r\n"
        ),
        b"GET /astria/tunes/../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_broken_requests_break_nothing(host: LiveHost, api: Api, request_text: bytes) -> None:
    assert raw(host, request_text) in (0, 400, 403, 404)
    assert api.get("/tunes").status_code == 200


def test_pages_of_other_sites_and_other_names_are_refused(api: Api) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ):
        assert api.get("/tunes", headers=headers).status_code == 403
        assert api.post("/generate", json={"prompt": "a cat"}, headers=headers).status_code == 403


def test_the_server_never_stumbled(host: LiveHost) -> None:
    """Last in this file.

    An exception that nobody handled would stand in the log with its traceback.
    """
    log = host.log_of_module()
    assert "comfyui_astria/nodes" not in log.replace("\\", "/")
    assert "has stopped following" not in log
