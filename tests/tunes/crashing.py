"""A process that changes tunes or bindings until it is killed, or kills itself at its n-th step.

Usage:
    crashing.py FOLDER create TITLE [n]    creates tunes "TITLE 0", "TITLE 1" ... and prints each
                                           title when it is stored
    crashing.py FOLDER delete ID n         deletes a tune
    crashing.py FOLDER bind FILE n         binds upscaler to the file
    crashing.py FOLDER bind-many ID        binds ID and the ids after it, one by one
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

PHOTOS = 3
BINDINGS = 25
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows ends a process by any signal


def photos_of(title: str) -> list[bytes]:
    """Return the photos that the tune of this title has."""
    return [b"\xff\xd8\xff" + f"{title} photo {number}".encode() * 1000 for number in range(PHOTOS)]


def load_pack() -> None:
    path = Path(__file__).resolve().parent.parent.parent / "pack_loader.py"
    spec = importlib.util.spec_from_file_location("pack_loader", path)
    assert spec is not None and spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    loader.load()


def die_at_step(number: int) -> None:
    """Kill this process at the given step.

    The moments before and after each call to the file system are counted.
    """
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), KILL)

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **keywords: object) -> object:
            step()
            result = call(*args, **keywords)
            step()
            return result

        return wrapper

    for name in ("fsync", "replace", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    builtins.open = counted(builtins.open)


def main(folder: Path, action: str, argument: str, crash_at: str = "0") -> None:
    load_pack()
    from comfyui_astria.nodes.tunes.bindings import BINDINGS_FILE, bind
    from comfyui_astria.nodes.tunes.store import TuneStore

    store = TuneStore(folder)
    die_at_step(int(crash_at))
    if action == "bind":
        bind(folder / BINDINGS_FILE, "upscaler", argument)
        return
    if action == "bind-many":
        for id in range(int(argument), int(argument) + BINDINGS):
            bind(folder / BINDINGS_FILE, str(id), "a.pt")
        return
    if action == "delete":
        store.delete(int(argument))
        return
    number = 0
    while True:
        title = f"{argument} {number}"
        store.create(title=title, model_type="faceid", photos=photos_of(title))
        sys.stdout.write(f"{title}\n")
        sys.stdout.flush()
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
