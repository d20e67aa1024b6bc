"""Who may ask the API."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.api.access import check, is_loopback, listens_on_loopback
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
