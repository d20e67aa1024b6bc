"""GET and POST to a web address from a request.

Connected to the checked address, bounded in size and time.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..prompt.images import shown_address
from .addresses import CheckedAddress, checked, resolved
from .problems import ApiError

MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Bounds:
    """The bounds of a request.

    Bytes of the answer, seconds over all, and the hosts of the own network that are allowed.
    """

    most_bytes: int
    timeout_s: float
    private_hosts: Sequence[str] = ()


def fetch(url: str, bounds: Bounds) -> bytes:
    """Return the body of a GET of `url`.

    Up to three redirects are followed, each checked as the first address.

    Raises: ApiError naming the address, for a refused one, an answer other than 200, one too large
    or too slow.
    """
    asked, deadline = url, time.monotonic() + bounds.timeout_s
    for _ in range(MAX_REDIRECTS + 1):
        status, location, body = _ask(
            "GET", checked(asked, bounds.private_hosts), b"", {}, bounds, deadline
        )
        if status == 200:
            return body
        if status not in _REDIRECTS or not location:
            raise _failed(asked, f"it answered with HTTP {status}")
        asked = urllib.parse.urljoin(asked, location)
    raise _failed(url, f"it leads on more than {MAX_REDIRECTS} times")


def post(url: str, body: bytes, headers: Mapping[str, str], bounds: Bounds) -> None:
    """Send `body` to `url`; return when it answered with 2xx.

    Redirects are not followed. Raises: ApiError otherwise.
    """
    deadline = time.monotonic() + bounds.timeout_s
    status, _, _ = _ask("POST", checked(url, bounds.private_hosts), body, headers, bounds, deadline)
    if not 200 <= status < 300:
        raise _failed(url, f"it answered with HTTP {status}")


def _ask(
    method: str,
    place: CheckedAddress,
    body: bytes,
    headers: Mapping[str, str],
    bounds: Bounds,
    deadline: float,
) -> tuple[int, str, bytes]:
    """Return status, Location and body of the answer, had before the deadline."""
    try:
        addresses = resolved(place, bounds.private_hosts, deadline - time.monotonic())
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
    except TimeoutError as error:
        raise _failed(place.authority, f"it took longer than {bounds.timeout_s:.3g} s") from error
    connection = _connection(place, addresses, left_s)
    # A socket's timeout counts each wait by itself, and a peer could drip; the timer ends the
    # connection as a whole.
    over = threading.Event()
    timer = threading.Timer(left_s, _cut, [connection, over])
    timer.start()
    try:
        sent = {
            "Host": place.authority,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "astria-prompts",
            "Connection": "close",
        }
        connection.request(
            method, place.path, body if method == "POST" else None, {**sent, **headers}
        )
        answer = connection.getresponse()
        content = _read(answer, place, bounds) if answer.status == 200 and method == "GET" else b""
        if over.is_set():  # a connection that was cut reads like one that has ended
            raise TimeoutError
        return answer.status, answer.getheader("Location") or "", content
    except (OSError, http.client.HTTPException, ValueError) as error:
        is_late = over.is_set() or isinstance(error, TimeoutError)
        problem = (
            f"it took longer than {bounds.timeout_s:.3g} s"
            if is_late
            else str(error) or type(error).__name__
        )
        raise _failed(place.authority, problem) from error
    finally:
        timer.cancel()
        connection.close()


def _read(answer: http.client.HTTPResponse, place: CheckedAddress, bounds: Bounds) -> bytes:
    content = bytearray()
    while chunk := answer.read(_CHUNK):
        content += chunk
        if len(content) > bounds.most_bytes:
            raise _failed(place.authority, f"it sends more than {bounds.most_bytes} bytes")
    if answer.length:
        raise _failed(place.authority, f"it ended {answer.length} bytes too early")
    return bytes(content)


def _cut(connection: _ToAddress, over: threading.Event) -> None:
    over.set()
    if connection.wire is not None:
        with contextlib.suppress(OSError):  # it may just have ended by itself
            # Not SSLSocket's own, which takes its state away from under the thread that reads.
            socket.socket.shutdown(connection.wire, socket.SHUT_RDWR)


def _connection(place: CheckedAddress, addresses: Sequence[str], timeout_s: float) -> _ToAddress:
    """Return a connection that goes to one of `addresses` and speaks to the place's host.

    Proxies of the environment are not asked.
    """
    kind = _ToAddress if place.scheme == "http" else _ToAddressSecurely
    return kind(place, addresses, timeout_s)


def _open(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    """Connect to the first address that answers."""
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), timeout_s / len(addresses))
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), timeout_s / len(addresses))


class _ToAddress(http.client.HTTPConnection):
    """Connects to an address in place of its host's.

    `wire` stays the socket when http.client has given it to the answer.
    """

    def __init__(self, place: CheckedAddress, addresses: Sequence[str], timeout_s: float) -> None:
        super().__init__(place.host, place.port, timeout=timeout_s)
        self._addresses = addresses
        self._timeout_s = timeout_s
        self.wire: socket.socket | None = None

    def connect(self) -> None:
        self.sock = self.wire = _open(self._addresses, self.port, self._timeout_s)
        self.sock.settimeout(self._timeout_s)


class _ToAddressSecurely(_ToAddress):
    def connect(self) -> None:
        super().connect()
        secure = ssl.create_default_context().wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock = self.wire = secure
        secure.do_handshake()


def _failed(url: str, problem: str) -> ApiError:
    return ApiError(
        f"{shown_address(url)} cannot be used: {problem}",
        code="web-address",
        hint="Send the file itself, or an address that answers.",
    )
