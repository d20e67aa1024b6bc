"""A key of this installation's own, and hashes that only its holder can compare with a guess."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path

from ..errors import AstriaError
from .writing import atomic_write, exclusive

KEY_FILE = "fingerprint.key"
KEY_BYTES = 32  # what HMAC-SHA256 takes in


def own_key(folder: Path) -> bytes:
    """Return the key that lies in `folder`, made by whichever process asks first.

    Raises: AstriaError for a key file of another size; OSError where it can be neither read nor
    made.
    """
    path = folder / KEY_FILE
    if not path.exists():
        with exclusive(folder / f"{KEY_FILE}.lock"):
            if not path.exists():
                atomic_write(path, secrets.token_bytes(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise AstriaError(
            f"The key file {path} holds {len(key)} bytes; expected {KEY_BYTES}.",
            code="damaged-key",
            hint="Delete the file; a new key is made at the next run.",
        )
    return key


def keyed_hash(key: bytes, parts: Iterable[str]) -> str:
    """Return HMAC-SHA256 (RFC 2104) of the texts in hexadecimal digits, another one wherever one of
    them ends.
    """
    found = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        # File names of a system may hold bytes that are no UTF-8, or lone surrogates.
        data = part.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()
