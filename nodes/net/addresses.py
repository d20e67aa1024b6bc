"""Which web addresses the server may fetch for a request.

Web schemes, and public hosts by their resolved address.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..prompt.images import shown_address
from .problems import ApiError

MAX_URL = 2000
# Networks that are not of the public internet, or that carry another address in theirs.
# Listed here, since what Python calls global differs from version to version.
# Source: the special-purpose registries of IANA for IPv4 and IPv6.
_NOT_PUBLIC_4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",  # shared by a provider's customers
    "127.0.0.0/8",
    "168.63.129.16/32",  # Azure's own service beside its machines
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")  # all else is local, or reserved
_NOT_PUBLIC_6 = (
    "2001::/23",  # Teredo and what else the protocol keeps for itself
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
)
_NETWORKS_4 = tuple(map(ipaddress.IPv4Network, _NOT_PUBLIC_4))
_NETWORKS_6 = tuple(map(ipaddress.IPv6Network, _NOT_PUBLIC_6))
# RFC 6052: carries an address of IPv4, which decides.
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 5214: these 32 bits before the last 32, which then are an address of IPv4.
_ISATAP = (0x00005EFE, 0x02005EFE)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class CheckedAddress:
    """A checked web address: where to connect, and what to ask for there."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == standard else f"{host}:{self.port}"


def place_of(url: str) -> CheckedAddress:
    """Return the parts of a web address.

    Raises: ApiError for any other kind, and for one with a name and password in it.
    """
    if len(url) > MAX_URL:
        raise _refused(url, f"it has {len(url)} characters; expected at most {MAX_URL}")
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise _refused(url, "it holds a blank, a backslash or a control character")
    if any("\ud800" <= character <= "\udfff" for character in url):
        raise _refused(url.encode("utf-8", "replace").decode(), "it holds half a character")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        host = (
            (parts.hostname or "").encode("idna").decode()
            if not _literal(parts.hostname or "")
            else parts.hostname or ""
        )
    except (ValueError, UnicodeError) as error:
        raise _refused(url, "it cannot be read") from error
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not host:
        raise _refused(url, "expected http://host/... or https://host/...")
    if parts.username is not None or parts.password is not None:
        raise _refused(url, "it holds a name or password")
    path = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    )
    return CheckedAddress(
        scheme, host.lower().rstrip("."), port or {"http": 80, "https": 443}[scheme], path
    )


def checked(url: str, private_hosts: Sequence[str]) -> CheckedAddress:
    """Return the parts of a web address whose host is not plainly one of this machine or network.

    Names are not looked up yet.
    """
    place = place_of(url)
    if place.host in private_hosts:
        return place
    literal = _literal(place.host)
    if literal is not None and not is_public(literal):
        raise _refused(url, f"{place.host} is no public address")
    if place.host.endswith((".localhost", ".local", ".internal")) or (
        "." not in place.host and literal is None
    ):
        raise _refused(url, f"{place.host} is no public host")
    if literal is None and _looks_numeric(place.host):
        raise _refused(url, f"{place.host} is neither a name nor a whole address")
    return place


def _looks_numeric(host: str) -> bool:
    """Say whether the last part is a number.

    127.1 and 0x7f.1 are read as addresses by some resolvers.
    """
    last = host.rpartition(".")[2]
    return last.isdigit() or last.startswith("0x")


def resolved(
    place: CheckedAddress, private_hosts: Sequence[str], timeout_s: float
) -> tuple[str, ...]:
    """Return the addresses of the place's host, to connect to and nothing else.

    Asked again, a name may answer differently.

    One address that is not public refuses all, unless the owner listed the host. Raises: ApiError,
    TimeoutError.
    """
    try:
        found = _looked_up(place, timeout_s)
    except TimeoutError:
        raise
    except (OSError, UnicodeError) as error:
        raise _refused(place.host, f"the host cannot be found: {error}") from error
    addresses = tuple(dict.fromkeys(str(one[4][0]) for one in found))
    if place.host not in private_hosts:
        for address in addresses:
            if not is_public(ipaddress.ip_address(address.partition("%")[0])):
                raise _refused(place.host, f"it stands for {address}, which is no public address")
    return addresses


def _looked_up(place: CheckedAddress, timeout_s: float) -> Sequence[Any]:
    """Return the addresses by the system's resolver.

    It takes no time limit, so it is asked in a thread, which ends when the resolver gives up.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="astria-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout_s, 0))
    except queue.Empty:
        raise TimeoutError(f"{place.host} was not found in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def is_public(address: Address) -> bool:
    """Say whether an address lies in the public internet, whatever form of IPv6 it is wrapped
    in.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NETWORKS_4)
    inner = _inside(address)
    if inner is not None and not is_public(inner):
        return False
    if address in _TRANSLATED or address.ipv4_mapped is not None:
        return True
    return address in _PUBLIC_6 and not any(address in network for network in _NETWORKS_6)


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the address of IPv4 that one of IPv6 leads to, None for an ordinary one."""
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _TRANSLATED or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return last
    return address.ipv4_mapped or address.sixtofour


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _refused(url: str, problem: str) -> ApiError:
    hint = (
        "Only public web addresses are allowed; the owner may list hosts of the own network as"
        " private_hosts in api.ini."
    )
    text = f"the address {shown_address(url)!r} is refused: {problem}"
    return ApiError(text, code="bad-address", hint=hint)
