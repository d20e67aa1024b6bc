"""The variables that Ray's processes get: no ping leaves the machine, and nobody without the token
comes in.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ..devtools.console import DevError
from ..devtools.paths import DEV, ROOT

TOKEN_FILE = DEV / "fleet.token"
LEAST_TOKEN = 32
NOWHERE = "http://127.0.0.1:9/"  # the discard port, on which nobody answers
_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def variables(token_file: Path) -> dict[str, str]:
    """Return the environment of Ray's processes: this one's, with the token and without the
    `RAY_` variables of any other cluster.

    Raises: DevError without a token.
    """
    check_token(token_file)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_USAGE_STATS_REPORT_URL": NOWHERE,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file.resolve()),
        # Ray would wait for workers to become idle, which detached actors never are.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "ASTRIA_FLEET_PACK": str(ROOT),  # for fleet/boot.py
    }


def head_variables(token_file: Path, sink: str = NOWHERE) -> dict[str, str]:
    """Return the environment of the head, which runs no ComfyUI.

    Ray 2.60 reports its use by default, sends one ping also where that is switched off, and asks
    addresses of clouds whose machine this is: all of it goes to `sink`. Raises: DevError without a
    token.
    """
    return {
        **variables(token_file),
        **dict.fromkeys(_PROXIES, sink),
        "RAY_USAGE_STATS_REPORT_URL": sink,
    }


def check_token(token_file: Path) -> None:
    """Raises: DevError where there is no token, or one that could be guessed."""
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise DevError(
            f"There is no token of the fleet: {token_file}.",
            "`python dev.py fleet head` makes one on the machine of the API; copy that file here,"
            " or name it by --token FILE.",
        ) from None
    if len(token) < LEAST_TOKEN:
        raise DevError(
            f"The token in {token_file} has {len(token)} characters; expected {LEAST_TOKEN} or"
            " more.",
            "Delete the file, have `python dev.py fleet head` make another, and copy that one.",
        )


def make_token(token_file: Path) -> None:
    """Make the token, readable by its owner only, where there is none."""
    if token_file.exists():
        return
    token_file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32))


def worker_variables(
    base: Path, python: Path, comfyui: Path, models: Path | None
) -> Mapping[str, str]:
    """Return what a machine's workers are told of it."""
    told = {
        "ASTRIA_FLEET_BASE": str(base),
        "ASTRIA_FLEET_PYTHON": str(python),
        "ASTRIA_FLEET_COMFYUI": str(comfyui),
    }
    return told if models is None else {**told, "ASTRIA_FLEET_MODELS": str(models)}
