"""Who may ask the API."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.api.access import (
    COOKIE,
    check,
    check_page,
    check_sidebar,
    cookie_of,
    is_loopback,
    listens_on_loopback,
)
from comfyui_astria.nodes.net.problems import ApiError

KEY = "a-key-of-the-owner"
LOCAL, OPEN = "127.0.0.1", "0.0.0.0"
HOST = {"Host": "127.0.0.1:8188"}
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("headers", "key", "listen"),
    [
        (HOST, "", LOCAL),
        ({"Host": "localhost:8188"}, "", LOCAL),
        ({"Host": "[::1]:8188"}, "", "127.0.0.1,::1"),
        ({**HOST, "Authorization": "Bearer anything"}, "", LOCAL),
        ({"Host": "box.lan:8188", **WITH_KEY, "X-Forwarded-For": "1.2.3.4"}, KEY, LOCAL),
        ({"Host": "box.lan:8188", **WITH_KEY}, KEY, OPEN),
        ({**HOST, **WITH_KEY}, KEY, LOCAL),
        ({**HOST, "Authorization": f"bearer  {KEY} "}, KEY, OPEN),
        ({**HOST, "Origin": "http://127.0.0.1:8188", "Sec-Fetch-Site": "same-origin"}, "", LOCAL),
        ({**HOST, "Sec-Fetch-Site": "none"}, "", LOCAL),
    ],
)
def test_who_may_ask(headers: dict[str, str], key: str, listen: str) -> None:
    check(headers, key, listen, "api.ini")


@pytest.mark.parametrize(
    ("headers", "key", "listen", "status", "code"),
    [
        (HOST, "", OPEN, 401, "no-key-set"),
        ({**HOST, **WITH_KEY}, "", "127.0.0.1,0.0.0.0", 401, "no-key-set"),
        (HOST, KEY, LOCAL, 401, "wrong-key"),
        (HOST, KEY, OPEN, 401, "wrong-key"),
        ({**HOST, "Authorization": f"Bearer {KEY}x"}, KEY, OPEN, 401, "wrong-key"),
        ({**HOST, "Authorization": f"Basic {KEY}"}, KEY, OPEN, 401, "wrong-key"),
        ({**HOST, "Authorization": KEY}, KEY, OPEN, 401, "wrong-key"),
        ({**HOST, "Authorization": "Bearer \udce9"}, KEY, OPEN, 401, "wrong-key"),
        ({"Host": "evil.example:8188"}, "", LOCAL, 403, "not-loopback"),
        ({}, "", LOCAL, 403, "not-loopback"),
        ({"Host": "["}, "", LOCAL, 403, "not-loopback"),
        ({"Host": "127.0.0.1:8188/x?y"}, "", LOCAL, 400, "bad-host"),
        ({"Host": "localhost#<x>"}, "", LOCAL, 400, "bad-host"),
        ({"Host": "\xff\xfe", **WITH_KEY}, KEY, OPEN, 400, "bad-host"),
        ({**HOST, "X-Forwarded-For": "127.0.0.1"}, "", LOCAL, 401, "no-key-set"),
        ({**HOST, "Forwarded": "for=1.2.3.4"}, "", LOCAL, 401, "no-key-set"),
        ({**HOST, "Sec-Fetch-Site": "cross-site"}, "", LOCAL, 403, "cross-site"),
        ({**HOST, "Sec-Fetch-Site": "same-site"}, "", LOCAL, 403, "cross-site"),
        ({**HOST, "Origin": "http://localhost:3000"}, "", LOCAL, 403, "cross-site"),
        ({**HOST, "Origin": "null"}, "", LOCAL, 403, "cross-site"),
        ({**HOST, **WITH_KEY, "Origin": "http://evil.example"}, KEY, OPEN, 403, "cross-site"),
        ({**HOST, "Origin": "http://["}, "", LOCAL, 403, "cross-site"),
    ],
)
def test_who_may_not(
    headers: dict[str, str], key: str, listen: str, status: int, code: str
) -> None:
    with pytest.raises(ApiError) as refused:
        check(headers, key, listen, "api.ini")
    assert (refused.value.status, refused.value.code) == (status, code)
    assert KEY not in str(refused.value)


WITH_COOKIE = {"Cookie": f"other=1; {COOKIE}={cookie_of(KEY)}"}
OWN_PAGE = {**HOST, "Origin": "http://127.0.0.1:8188", "Sec-Fetch-Site": "same-origin"}
LAN_PAGE = {"Host": "box.lan:8188", "Origin": "http://box.lan:8188"}


@pytest.mark.parametrize(
    ("headers", "key", "listen"),
    [
        (OWN_PAGE, "", LOCAL),
        (OWN_PAGE, KEY, LOCAL),
        (HOST, KEY, LOCAL),
        ({**LAN_PAGE, **WITH_COOKIE}, KEY, OPEN),
        ({**LAN_PAGE, **WITH_COOKIE, "X-Forwarded-For": "1.2.3.4"}, KEY, LOCAL),
    ],
)
def test_whose_page_may_see_people(headers: dict[str, str], key: str, listen: str) -> None:
    check_sidebar(headers, key, listen, "api.ini")
    check_page(headers, listen)


@pytest.mark.parametrize(
    ("headers", "key", "listen", "code"),
    [
        ({**HOST, "Origin": "http://evil.example"}, KEY, LOCAL, "cross-site"),
        ({**HOST, "Sec-Fetch-Site": "cross-site"}, KEY, LOCAL, "cross-site"),
        ({**LAN_PAGE, **WITH_COOKIE, "Origin": "http://evil.example"}, KEY, OPEN, "cross-site"),
        # By DNS rebinding: the page's own name points at this machine.
        ({"Host": "evil.example:8188", "Origin": "http://evil.example:8188"}, KEY, LOCAL,
         "not-loopback"),
        ({"Host": "evil.example:8188"}, "", LOCAL, "not-loopback"),
        ({}, KEY, LOCAL, "not-loopback"),
        (LAN_PAGE, KEY, OPEN, "sidebar-key"),
        ({**LAN_PAGE, "Cookie": f"{COOKIE}={cookie_of(KEY + 'x')}"}, KEY, OPEN, "sidebar-key"),
        ({**LAN_PAGE, "Cookie": f"{COOKIE}={KEY}"}, KEY, OPEN, "sidebar-key"),
        ({**LAN_PAGE, "Cookie": f"{COOKIE}=\udce9"}, KEY, OPEN, "sidebar-key"),
        ({**LAN_PAGE, "Cookie": ";;=["}, KEY, OPEN, "sidebar-key"),
        ({**HOST, "X-Forwarded-For": "1.2.3.4"}, KEY, LOCAL, "sidebar-key"),
        (LAN_PAGE, "", OPEN, "no-key-set"),
        ({**HOST, "Via": "1.1 proxy"}, "", LOCAL, "no-key-set"),
    ],
)  # fmt: skip
def test_whose_page_may_not(headers: dict[str, str], key: str, listen: str, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        check_sidebar(headers, key, listen, "api.ini")
    assert refused.value.code == code
    assert refused.value.status == (401 if "key" in code else 403)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "listen"),
    [
        ({**HOST, "Origin": "http://evil.example"}, LOCAL),
        ({**LAN_PAGE, "Origin": "http://evil.example"}, OPEN),
        ({"Host": "evil.example:8188", "Origin": "http://evil.example:8188"}, LOCAL),
    ],
)
def test_pages_of_other_sites_see_nothing(headers: dict[str, str], listen: str) -> None:
    with pytest.raises(ApiError):
        check_page(headers, listen)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("localhost.evil.example", False),
        ("", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_names_of_this_machine(name: str, expected: bool) -> None:
    assert is_loopback(name) is expected


def test_every_address_listened_on_counts() -> None:
    assert listens_on_loopback("127.0.0.1,::1")
    assert not listens_on_loopback("127.0.0.1,192.168.0.2")
    assert not listens_on_loopback("0.0.0.0,::")
