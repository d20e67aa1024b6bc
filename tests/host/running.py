"""A running ComfyUI with the pack and the test pack, and what lies in its folders."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...devtools.client import Client
from ...devtools.host import Host
from ...nodes.tunes.store import TuneStore


@dataclass(eq=False)
class LiveHost:
    """A running ComfyUI with the pack and the test pack.

    `client` speaks to it, `base` holds its models, input and output.

    `fresh` are the models and settings that `clean` leaves in place.
    """

    process: Host
    fresh: set[Path]
    # How much of the log the modules before have printed, runs that fail on purpose among them.
    printed: int = 0

    @property
    def client(self) -> Client:
        return self.process.client

    @property
    def url(self) -> str:
        return self.process.url

    @property
    def base(self) -> Path:
        return self.process.base

    @property
    def loras(self) -> Path:
        return self.base / "models" / "loras"

    def object_info(self) -> dict[str, Any]:
        """All node definitions, asked once per host."""
        return _object_info(self.client)

    @property
    def state(self) -> Path:
        """The folder of the pack's own files."""
        return self.base / "user" / "__astria"

    def clean(self) -> None:
        """Take away the models, settings and tunes that tests have put there, so that the next
        module finds the host as it was started.
        """
        for path in own_files(self.base) - self.fresh:
            path.unlink()
        for folder in sorted(self.base.glob("models/*/**/"), reverse=True):
            if folder.parent.parent != self.base and not any(folder.iterdir()):
                folder.rmdir()
        store = TuneStore(self.state)
        while found := store.list():
            for tune in found:
                store.delete(tune.id)
        self.printed = len(self.log_text())

    def log_of_module(self) -> str:
        return self.log_text()[self.printed :]

    def log_text(self) -> str:
        return self.process.log_text()


@functools.cache
def _object_info(client: Client) -> dict[str, Any]:
    return client.object_info()


def own_files(base: Path) -> set[Path]:
    """Return what stands in the model folders, and the settings of the pack."""
    return {
        path
        for path in (*base.glob("models/**/*"), *base.glob("user/__astria/*.ini"))
        if path.is_file()
    }
