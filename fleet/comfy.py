"""The worker's half: one ComfyUI with the pack, that runs one workflow at a time.

Knows nothing of Ray: fleet/worker.py makes an actor of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..devtools.client import Client
from ..devtools.console import DevError
from ..devtools.environment import Environment
from ..devtools.host import Host, HostOptions
from ..devtools.paths import ROOT, STATE_FOLDER
from ..nodes.net.writing import atomic_write
from ..nodes.tunes.store import TuneStore
from .dispatcher import lost
from .runs import PushedTune, Result, Run

RUN_TIMEOUT_S = 3600.0  # a run that takes longer hangs: its ComfyUI is ended
# A ComfyUI that outlived its worker ends soon after it, and holds the folder until then.
_TAKING_OVER_S = 30.0
_POLL_S = 0.1
_LISTED_LATE_S = 3.0  # a file that was just written may not be listed yet, on a network's folder


class Comfy:
    """A ComfyUI in a folder of its own, `base`, started when it is first needed.

    `device` is the GPU that it sees, as CUDA numbers them; "cpu" for none.
    """

    def __init__(self, environment: Environment, base: Path, device: str) -> None:
        self._environment = environment
        self._base = base
        self._device = device
        self._host: Host | None = None
        self._starting = threading.Lock()
        self._run_id: str | None = None  # of the run that is under way
        # What ComfyUI's cache may name once more, where the next run asks for the same.
        self._last_pictures: set[Path] = set()

    def make_ready(self) -> None:
        """Return when ComfyUI answers, started anew where it has ended.

        Raises: DevError with the end of its log where it does not start.
        """
        with self._starting:
            if self._host is not None and self._is_alive(self._host):
                return
            if self._host is not None:
                self._host.stop()
                self._host = None
            deadline = time.monotonic() + _TAKING_OVER_S
            while True:
                try:
                    self._host = Host(self._environment, self._options()).start()
                    return
                except DevError as error:
                    if "already runs" not in str(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(1)

    def stop(self) -> None:
        """End ComfyUI."""
        with self._starting:
            if self._host is not None:
                self._host.stop()
                self._host = None

    def run(self, run: Run) -> Result:
        """Run a workflow and return how it ended, with its pictures."""
        host = self._host
        if host is None or not self._is_alive(host):
            return lost(run.run_id)
        self._run_id = run.run_id
        try:
            self._bring(run)
            refused = self._post(host.client, run)
            entry = refused or self._followed(host, run.run_id)
            return Result(run.run_id, self._shown(entry), self._pictures(entry))
        except (urllib.error.URLError, OSError, TimeoutError, ValueError):
            # It ended, or answers no more: it is started anew, and the run counts as one that died.
            host.stop()
            return lost(run.run_id)
        finally:
            self._run_id = None

    def interrupt(self, run_id: str) -> None:
        """Have a run ended at the next step, where it is the one under way."""
        if self._run_id == run_id and self._host is not None:
            with contextlib.suppress(urllib.error.URLError, OSError):
                self._host.client.post_json("/interrupt", {"prompt_id": run_id})

    def tunes(self) -> tuple[int, ...]:
        """Return the ids of the photo sets that were pushed here."""
        return tuple(one.id for one in self._store().list(limit=1_000_000))

    def forget(self, tunes: tuple[int, ...]) -> None:
        """Remove pushed photo sets, with their photos."""
        for id in tunes:
            self._store().delete(id)

    def _store(self) -> TuneStore:
        folder = self._base / "user" / STATE_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return TuneStore(folder)

    def _options(self) -> HostOptions:
        on_cpu = self._device == "cpu"
        seen = () if on_cpu else (("CUDA_VISIBLE_DEVICES", self._device),)
        return HostOptions(self._base, cpu=on_cpu, variables=seen, start_timeout_s=math.inf)

    @staticmethod
    def _is_alive(host: Host) -> bool:
        return host.process is not None and host.process.poll() is None

    def _bring(self, run: Run) -> None:
        for (folder, name), content in run.files.items():
            path = self._base / folder / name
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(path, content)
        for tune in run.tunes:
            self._bring_tune(tune)

    def _bring_tune(self, tune: PushedTune) -> None:
        store = self._store()
        if store.get(tune.id) is None:  # a tune's photos never change
            store.create(id=tune.id, title=tune.title, model_type="faceid", photos=tune.photos)

    def _post(self, client: Client, run: Run) -> Mapping[str, Any] | None:
        """Put a run on ComfyUI's queue; return what it ended with where it is refused."""
        body = {"prompt": run.workflow, "prompt_id": run.run_id, "client_id": "astria-fleet"}
        status, answer = client.post_json("/prompt", body)
        if status != 200 and "value_not_in_list" in json.dumps(answer):
            time.sleep(_LISTED_LATE_S)
            status, answer = client.post_json("/prompt", body)
        refused = (answer or {}).get("node_errors") if isinstance(answer, dict) else None
        if status == 200 and not refused:
            return None
        return _refusal(answer)

    def _followed(self, host: Host, run_id: str) -> Mapping[str, Any]:
        """Return the history entry of a run. Raises: OSError where ComfyUI ended, or hangs."""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while time.monotonic() < deadline:
            entry = host.client.get_json(f"/history/{run_id}").get(run_id)
            if entry is not None:
                return {"outputs": entry["outputs"], "status": entry["status"]}
            if not self._is_alive(host):
                raise OSError("ComfyUI ended")
            time.sleep(_POLL_S)
        raise TimeoutError(f"the run took more than {RUN_TIMEOUT_S:g} s")

    def _pictures(self, entry: Mapping[str, Any]) -> tuple[bytes, ...]:
        """Return the pictures that the prompt's outputs name; those of the run before go."""
        paths = [
            self._base / image["type"] / image.get("subfolder", "") / image["filename"]
            for node, output in sorted(entry["outputs"].items())
            for image in (output.get("images", []) if node.startswith("output.") else [])
        ]
        found = tuple(path.read_bytes() for path in paths)
        for path in self._last_pictures - set(paths):
            path.unlink(missing_ok=True)
        self._last_pictures = set(paths)
        return found

    def _shown(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an entry whose texts name no folder of this machine: strangers read them."""
        text = json.dumps(entry)
        named = {
            self._base: "ComfyUI",
            self._environment.models: "models",
            self._environment.comfyui: "ComfyUI",
            ROOT: "this pack",
            Path.home(): "~",
        }
        for folder, name in named.items():
            if folder is not None and len(folder.parts) > 1:
                text = text.replace(json.dumps(str(folder))[1:-1], name)
        return json.loads(text)


def _refusal(answer: Any) -> Mapping[str, Any]:
    """Return what a history entry would be of a workflow that ComfyUI refuses."""
    answer = answer if isinstance(answer, dict) else {"error": {"message": str(answer)}}
    error = answer.get("error") or {}
    said = [
        f"node {node} ({record.get('class_type', '?')}): {one.get('message', '')}"
        f" {one.get('details', '')}".strip()
        for node, record in (answer.get("node_errors") or {}).items()
        for one in record.get("errors", [])
    ]
    headline = error.get("message", "") if isinstance(error, dict) else str(error)
    text = "; ".join(["the worker's ComfyUI refuses the workflow", headline, *said])
    message = {"node_id": "-", "node_type": "-", "exception_message": text}
    return {
        "outputs": {},
        "status": {"status_str": "error", "messages": [["execution_error", message]]},
    }


def environment_here() -> Environment:
    """Return what a worker of this machine starts ComfyUI with, as `fleet join` has it noted."""
    models = os.environ.get("ASTRIA_FLEET_MODELS")
    return Environment(
        Path(os.environ["ASTRIA_FLEET_PYTHON"]),
        Path(os.environ["ASTRIA_FLEET_COMFYUI"]),
        Path(models) if models else None,
    )
