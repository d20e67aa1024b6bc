"""Where the server goes on somebody's behalf, and where it does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from comfyui_astria.nodes.net import addresses, web
from comfyui_astria.nodes.net.addresses import checked, is_public, place_of, resolved
from comfyui_astria.nodes.net.fetching import Fetching
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.net.settings import ApiSettings
from comfyui_astria.nodes.net.web import Bounds, fetch, post
from comfyui_astria.nodes.prompt.images import shown_address

OWN = ("127.0.0.1",)
PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://example.com",
        "data:image/png;base64,AA",
        "//example.com",
        "example.com",
        "",
        "http://",
        "http:///a",
        "https://user:pw@example.com/",
        "http://a@example.com",
        "http://exa mple.com",
        "http://example.com/\r\nX: y",
        "http://example.com\\@a",
        "http://example.com:99999/",
        "http://[::1",
        "http://" + "a" * 3000 + ".com",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://localhost:8188/",
        "http://a.localhost/",
        "http://printer.local/",
        "http://metadata.google.internal/",
        "http://intranet/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://a.example/\ud800",
        "http://172.16.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[ff02::1]/",
        "http://[2001:0:5ef5:79fb::1]/",
        "http://[64:ff9b:1::808:808]/",
        "http://[fec0::1]/",
        "http://[4000::1]/",
        "http://[100::1]/",
        "http://[2001:db8::1]/",
        "http://[2001:20::1]/",
        "http://[3fff::1]/",
        "http://[5f00::1]/",
        "http://[2a00:1450:4001::5efe:a00:1]/",
        "http://[2a00:1450:4001::200:5efe:10.0.0.1]/",
        "http://[64:ff9b::198.18.0.1]/",
        "http://[2002:c000:1::]/",
        "http://192.0.0.1/",
        "http://192.0.0.9/",
        "http://198.19.255.255/",
        "http://192.88.99.1/",
        "http://168.63.129.16/",
        "http://203.0.113.1/",
        "http://127.0.0.1./",
        "http://①②⑦.0.0.1/",
        "http://127。0.0.1/",
    ],
)
def test_what_is_no_public_web_address_is_refused(url: str) -> None:
    with pytest.raises(ApiError, match="refused") as refused:
        checked(url, ())
    assert refused.value.status == 422


def test_public_addresses_pass() -> None:
    place = checked("HTTPS://Example.com:444/a b".replace(" ", "%20") + "?q=1&r=%C3%A9#part", ())
    assert (place.scheme, place.host, place.port, place.authority) == (
        "https",
        "example.com",
        444,
        "example.com:444",
    )
    assert place.path == "/a%20b?q=1&r=%C3%A9"
    assert checked(f"http://{PUBLIC}/", ()).authority == PUBLIC
    assert checked("http://[2606:2800:220:1::1]/", ()).authority == "[2606:2800:220:1::1]"
    assert checked("http://bücher.example/ü", ()).host == "xn--bcher-kva.example"
    assert checked("http://192.168.1.9:5000/x", ("192.168.1.9",)).port == 5000


def test_a_name_that_leads_inside_is_refused_whatever_else_it_leads_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in (PUBLIC, "127.0.0.1")
    ]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(ApiError, match=r"stands for 127\.0\.0\.1"):
        resolved(place_of("http://rebind.example/"), (), 5)
    assert resolved(place_of("http://rebind.example/"), ("rebind.example",), 5) == (
        PUBLIC,
        "127.0.0.1",
    )


class Peer(BaseHTTPRequestHandler):
    """A server that misbehaves as its path says."""

    seen: list[tuple[str, dict[str, str], bytes]]

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers), b""))
        port = self.server.server_address[1]
        if self.path == "/ok":
            self.answer(200, b"picture")
        elif self.path == "/later":
            time.sleep(0.2)
            self.send_response(302)
            self.send_header("Location", "/later")
            self.end_headers()
        elif self.path.startswith("/to"):
            self.send_response(302)
            self.send_header(
                "Location",
                {
                    "/to_ok": "/ok",
                    "/to_loop": "/to_loop",
                    "/to_file": "file:///etc/passwd",
                    "/to_inside": f"http://[::1]:{port}/ok",
                }[self.path],
            )
            self.end_headers()
        elif self.path == "/large":
            self.answer(200, b"x" * 100_000)
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            self.drip()
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"x")
        else:
            self.answer(404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, dict(self.headers), body))
        self.answer(200 if self.path == "/ok" else 302 if self.path == "/to" else 500, b"")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Location", "/ok")
        self.end_headers()
        self.wfile.write(body)

    def drip(self) -> None:
        """Send a byte now and then: each wait is short, all of them are not."""
        try:
            for _ in range(200):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def peer() -> Iterator[tuple[str, list]]:
    seen: list = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OnePeer", (Peer,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_fetched_and_redirects_are_followed(peer: tuple[str, list]) -> None:
    url, seen = peer
    bounds = Bounds(1000, 5, OWN)
    assert fetch(f"{url}/ok", bounds) == fetch(f"{url}/to_ok", bounds) == b"picture"
    assert seen[0][1]["Host"] == url.removeprefix("http://")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/to_loop", "more than 3 times"),
        ("/to_file", "expected http"),
        ("/to_inside", "no public address"),
        ("/large", "more than 1000 bytes"),
        ("/short", "too early|IncompleteRead"),
        ("/none", "HTTP 404"),
    ],
)
def test_what_cannot_be_fetched_is_told(peer: tuple[str, list], path: str, message: str) -> None:
    with pytest.raises(ApiError, match=message):
        fetch(peer[0] + path, Bounds(1000, 5, OWN))


@pytest.mark.parametrize("path", ["/slow", "/later"])
def test_a_peer_that_drips_or_sends_about_is_cut_off(peer: tuple[str, list], path: str) -> None:
    with pytest.raises(ApiError, match=r"longer than 0\.3 s"):
        fetch(f"{peer[0]}{path}", Bounds(1000, 0.3, OWN))


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(*_: object, **__: object) -> list:
        answered.wait(60)
        raise OSError("gave up")

    monkeypatch.setattr(addresses.socket, "getaddrinfo", hang)
    with pytest.raises(ApiError, match=r"slow\.example cannot be used: it took longer than 0\.2 s"):
        fetch("http://slow.example/a.jpg", Bounds(1000, 0.2))
    assert not answered.is_set()
    answered.set()


OPEN = ApiSettings(
    fetch_urls=True, private_hosts=OWN, max_request_mb=1, max_image_mb=1, fetch_timeout_s=5
)


def test_the_pictures_of_a_request_share_their_bytes(peer: tuple[str, list]) -> None:
    url, seen = peer
    fetching = Fetching(OPEN, "api.ini")
    for number in range(10):
        assert len(fetching.get(f"{url}/large", f"image_urls, number {number}")) == 100_000
    with pytest.raises(
        ApiError,
        match="number 11 is not fetched: the pictures before it took all of the 5 s or 1 MB",
    ):
        fetching.get(f"{url}/ok", "image_urls, number 11")
    assert len(seen) == 10
    assert Fetching(OPEN, "api.ini").get(f"{url}/ok", "another request's") == b"picture"


def test_the_pictures_of_a_request_share_their_seconds(peer: tuple[str, list]) -> None:
    url, seen = peer
    fetching = Fetching(replace(OPEN, fetch_timeout_s=1), "api.ini")
    for path in ("/later", "/slow"):
        with pytest.raises(ApiError):
            fetching.get(url + path, "the first ones")
    before = len(seen)
    with pytest.raises(ApiError, match="is not fetched"):
        fetching.get(f"{url}/ok", "the last one")
    assert len(seen) == before


def test_this_machine_is_never_asked_without_leave(peer: tuple[str, list]) -> None:
    for send in (
        lambda: fetch(f"{peer[0]}/ok", Bounds(1000, 5)),
        lambda: post(f"{peer[0]}/ok", b"{}", {}, Bounds(0, 5)),
    ):
        with pytest.raises(ApiError, match="no public address"):
            send()
    assert peer[1] == []


def test_a_name_is_asked_once_and_connected_to_as_checked(
    peer: tuple[str, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer would lead elsewhere; nobody asks for it."""
    url, seen = peer
    port = int(url.rpartition(":")[2])
    asked: list[str] = []

    def answer(host: str, *_: object, **__: object) -> list:
        asked.append(host)
        return [
            (
                socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                ("127.0.0.1" if len(asked) == 1 else PUBLIC, port),
            )
        ]

    monkeypatch.setattr(
        addresses.socket,
        "getaddrinfo",
        lambda host, *rest, **more: (
            answer(host) if host == "rebind.example" else original(host, *rest, **more)
        ),
    )
    assert (
        fetch(f"http://rebind.example:{port}/ok", Bounds(1000, 5, ("rebind.example",)))
        == b"picture"
    )
    assert asked == ["rebind.example"]
    assert seen[0][1]["Host"] == f"rebind.example:{port}"


original = socket.getaddrinfo


def test_a_callback_arrives_whole_or_is_told(peer: tuple[str, list]) -> None:
    url, seen = peer
    post(f"{url}/ok", b'{"id": 1}', {"Content-Type": "application/json"}, Bounds(0, 5, OWN))
    assert (seen[0][0], seen[0][1]["Content-Type"], seen[0][2]) == (
        "/ok",
        "application/json",
        b'{"id": 1}',
    )
    for path, status in (("/to", 302), ("/no", 500)):
        with pytest.raises(ApiError, match=f"HTTP {status}"):
            post(url + path, b"{}", {}, Bounds(0, 5, OWN))


def test_nobody_listening_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(ApiError, match="cannot be used"):
        fetch(f"http://127.0.0.1:{port}/", Bounds(10, 2, OWN))


def test_mapped_addresses_are_what_they_carry() -> None:
    import ipaddress

    assert is_public(ipaddress.ip_address(f"::ffff:{PUBLIC}"))
    assert not is_public(ipaddress.ip_address("::ffff:10.0.0.1"))
    assert is_public(ipaddress.ip_address("64:ff9b::808:808"))
    assert is_public(ipaddress.ip_address("2002:808:808::1"))
    assert is_public(ipaddress.ip_address("2a00:1450:4001::5efe:808:808"))
    assert web.MAX_REDIRECTS == 3


def test_messages_name_the_server_of_an_address_and_nothing_secret_in_it() -> None:
    for url, shown in (
        (
            "https://user:s3cret@example.com:8443/s3cret?s3cret#s3cret",
            "https://example.com:8443/...",
        ),
        ("https://example.com?s3cret", "https://example.com/..."),
        ("https://example.com/", "https://example.com"),
        ("ftp://s3cret@example.com", "ftp://example.com"),
        ("https://example.com\\@s3cret", "https://example.com/..."),
        ("s3cret@example.com/s3cret", "example.com/..."),
        ("https://" + "a" * 200, "https://" + "a" * 69 + "..."),
    ):
        assert shown_address(url) == shown
    with pytest.raises(ApiError) as refused:
        fetch("http://127.0.0.1:9/s3cret?s3cret", Bounds(10, 5, OWN))
    assert "s3cret" not in refused.value.message
