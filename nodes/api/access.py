"""Access to the API and the sidebar.

The key, the loopback rule, and requests that a page of another site makes: for programs, and for
the editor's own page, whose requests hold no key.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from ..net.problems import ApiError

# Headers of proxies on loopback, which hand on requests from anywhere.
_HANDED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
COOKIE = "astria_sidebar"
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


def check(headers: Mapping[str, str], key: str, listen: str, key_file: str) -> None:
    """Let the request pass, or raise.

    With a key set, it is asked for everywhere. Without one the server must listen on loopback only,
    and be asked for by a name of loopback: a page whose own name was made to point here sends that
    name. What a proxy hands on may come from anywhere. `listen` is the host's --listen, `key_file`
    where the key is set.
    Raises: ApiError, 401 without the right key, 403 for requests of other sites' pages.
    """
    _check_site(headers)
    if key:
        check_key(headers.get("Authorization", ""), key)
        _check_host(headers.get("Host", ""))
        return
    if not listens_on_loopback(listen):
        text = f"this ComfyUI listens on {listen}, and no key is set"
        hint = (
            f"Write the line key = YOUR_KEY into {key_file}, and send it as Authorization: Bearer"
            " YOUR_KEY."
        )
        raise ApiError(text, code="no-key-set", hint=hint, status=401)
    if handed_on := _handed_on(headers):
        text = (
            f"a proxy sent this request ({handed_on}), and without a key only this machine may ask"
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
    _check_host(headers.get("Host", ""))


def check_page(headers: Mapping[str, str], listen: str) -> None:
    """Let requests of the editor's own page pass, for routes that show no more than the host.

    Raises: ApiError, 403, for pages of other sites: those that say so, and those whose name was
    made to point at this machine, where the server listens on loopback only.
    """
    _check_site(headers)
    name = _host_name(headers.get("Host", ""))
    if listens_on_loopback(listen) and not _handed_on(headers) and not is_loopback(name):
        raise ApiError(
            f"the request is addressed to {name!r}, and this ComfyUI listens on this machine only",
            code="not-loopback",
            hint="Open ComfyUI at 127.0.0.1, or start it with --listen and set a key.",
            status=403,
        )


def check_sidebar(headers: Mapping[str, str], key: str, listen: str, key_file: str) -> None:
    """Let the editor's own page see and change people's photos, tunes and bindings.

    From this machine it may. From anywhere else it holds the key's cookie, which the sidebar gets
    by asking for the key once.
    Raises: ApiError, 403 for pages of other sites, 401 without the cookie.
    """
    _check_site(headers)
    if key and _holds_cookie(headers, key):
        return
    if listens_on_loopback(listen) and not _handed_on(headers):
        check_page(headers, listen)
        return
    if key:
        raise ApiError(
            "this ComfyUI can be reached from other machines: the sidebar needs the key once",
            code="sidebar-key",
            hint="It stands in api.ini, in the folder user/__astria of ComfyUI.",
            status=401,
        )
    raise ApiError(
        "this ComfyUI can be reached from other machines, and no key guards people's photos",
        code="no-key-set",
        hint=f"Write the line key = YOUR_KEY into {key_file}; the sidebar then asks for it once.",
        status=401,
    )


def cookie_of(key: str) -> str:
    """Return the cookie's value that stands for the key; another key makes it invalid."""
    return hmac.new(key.encode(), b"astria sidebar", hashlib.sha256).hexdigest()


def _holds_cookie(headers: Mapping[str, str], key: str) -> bool:
    try:
        sent = SimpleCookie(headers.get("Cookie", "")).get(COOKIE)
    except CookieError:
        return False
    value = "" if sent is None else sent.value
    return hmac.compare_digest(value.encode("utf-8", "surrogateescape"), cookie_of(key).encode())


def _handed_on(headers: Mapping[str, str]) -> str:
    """Return the header by which a proxy says that it hands a request on, empty without one."""
    return next((name for name in _HANDED_ON if name in headers), "")


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


def _check_host(host: str) -> None:
    """Refuse a Host that is no name and port: addresses in answers begin with it."""
    if not _HOST.fullmatch(host):
        raise ApiError(
            "the Host header is no name or address with a port",
            code="bad-host",
            hint="Send the Host that ComfyUI is reached by.",
            status=400,
        )


def _authority(origin: str) -> str:
    try:
        return urllib.parse.urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def check_key(sent: str, key: str) -> None:
    """Let an Authorization header with the key pass. Raises: ApiError, 401; without one too."""
    scheme, _, given = sent.partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), key.encode())
    if not key or scheme.lower() != "bearer" or not same:
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
