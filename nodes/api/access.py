"""Who may ask: the key, the loopback rule, and requests that a page of another site makes."""

from __future__ import annotations

import hmac
import ipaddress
import urllib.parse
from collections.abc import Mapping

from ..net.problems import ApiError

# By proxies on loopback, for somebody anywhere.
_HANDED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def check(headers: Mapping[str, str], key: str, listen: str, key_file: str) -> None:
    """Return when the request may go on.

    With a key set, it is asked for everywhere. Without one the server must listen on loopback only,
    and be asked for by a name of loopback: a page whose own name was made to point here sends that
    name. What a proxy hands on may come from anywhere. `listen` is the host's --listen, `key_file`
    where the key is set.
    Raises: ApiError, 401 without the right key, 403 for requests of other sites' pages.
    """
    _check_site(headers)
    if key:
        _check_key(headers.get("Authorization", ""), key)
        return
    if not listens_on_loopback(listen):
        text = f"this ComfyUI listens on {listen}, and no key is set"
        hint = (
            f"Write the line key = YOUR_KEY into {key_file}, and send it as Authorization: Bearer"
            " YOUR_KEY."
        )
        raise ApiError(text, code="no-key-set", hint=hint, status=401)
    if handed_on := [name for name in _HANDED_ON if name in headers]:
        text = (
            f"a proxy sent this request ({handed_on[0]}), and without a key only this machine"
            " may ask"
        )
        raise ApiError(
            text,
            code="no-key-set",
            hint=f"Set a key in {key_file}, and send it as Authorization: Bearer YOUR_KEY.",
            status=401,
        )
    name = _host_name(headers.get("Host", ""))
    if not is_loopback(name):
        text = f"the request is addressed to {name!r}, and without a key only this machine may ask"
        raise ApiError(
            text,
            code="not-loopback",
            hint=f"Ask 127.0.0.1, or set a key in {key_file}.",
            status=403,
        )


def _check_site(headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends for a page of another site.

    ComfyUI does too, but for --enable-cors-header.
    """
    site = headers.get("Sec-Fetch-Site", "none").lower()
    origin = headers.get("Origin")
    if site not in ("none", "same-origin") or (
        origin is not None and _authority(origin) != headers.get("Host", "").lower()
    ):
        text = "a page of another site sent this request"
        raise ApiError(
            text,
            code="cross-site",
            hint="Programs send no Origin header; pages ask from ComfyUI's own address.",
            status=403,
        )


def _authority(origin: str) -> str:
    try:
        return urllib.parse.urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _check_key(sent: str, key: str) -> None:
    scheme, _, given = sent.partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), key.encode())
    if scheme.lower() != "bearer" or not same:
        what = "no key" if not sent else "another key"
        raise ApiError(
            f"the request holds {what}",
            code="wrong-key",
            hint="Send the header Authorization: Bearer YOUR_KEY.",
            status=401,
        )


def listens_on_loopback(listen: str) -> bool:
    """Say whether every address of the host's --listen is one of this machine alone."""
    return all(is_loopback(one.strip()) for one in listen.split(","))


def is_loopback(name: str) -> bool:
    """Say whether a host's name or address means this machine; names are not looked up."""
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _host_name(host: str) -> str:
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
