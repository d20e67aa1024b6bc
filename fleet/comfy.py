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
from ..nodes.net.writing import PARTIAL, atomic_write
from ..nodes.training.progress import PROGRESS_FILE
from ..nodes.tunes.state import TRAINED_FOLDER, forget_training, training_folder
from ..nodes.tunes.store import TuneStore
from .dispatcher import lost
from .needs import MODEL_FOLDERS
from .runs import PushedTune, Result, Run, Told
from .trainings import STATE_FILES, trained_file

# A run that takes longer hangs, or a training that tells nothing for so long: its ComfyUI is
# ended.
RUN_TIMEOUT_S = 3600.0
# A ComfyUI that outlived its worker ends soon after it, and holds the folder until then.
_TAKING_OVER_S = 30.0
_POLL_S = 0.1
_LISTED_LATE_S = 3.0  # a file that was just written may not be listed yet, on a network's folder
_SAME_MOMENT_S = 2.0  # to which some file systems note it


class Comfy:
    """A ComfyUI in a folder of its own, `base`, started when it is first needed.

    `device` is the GPU that it sees, as CUDA numbers them; "cpu" for none. `packs` are folders of
    other node packs that it loads.
    """

    def __init__(
        self, environment: Environment, base: Path, device: str, packs: tuple[Path, ...] = ()
    ) -> None:
        self._environment = environment
        self._base = base
        self._state_folder = base / "user" / STATE_FOLDER
        self._device = device
        self._packs = packs
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
        """Run a workflow and return how it ended, with its pictures, or which files it lacks."""
        host = self._host
        if host is None or not self._is_alive(host):
            return lost(run.run_id)
        if lacks := self._lacking(run):
            return Result(run.run_id, lacks=lacks)
        self._run_id = run.run_id
        try:
            self._bring(run)
            refused = self._post(host.client, run)
            entry = refused or self._followed(host, run)
            shown, pictures = self._shown(entry), self._pictures(entry)
            if not run.trains:
                return Result(run.run_id, shown, pictures)
            name = trained_file(entry)
            trained = None if name is None else (self._base / "models" / name).read_bytes()
            told = {name: content for name, (_, content) in self.told(run.trains).items()}
            kept = {
                name: one for name, one in told.items() if not trained or name not in STATE_FILES
            }
            return Result(run.run_id, shown, pictures, told=kept, trained=trained)
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

    def models(self) -> tuple[str, ...]:
        """Return the model files that were brought or trained here, by their model folders."""
        root = self._base / "models"
        return tuple(
            path.relative_to(root).as_posix()
            for folder in MODEL_FOLDERS.values()
            for path in sorted((root / folder / TRAINED_FOLDER).glob("*.safetensors"))
        )

    def forget(self, tunes: tuple[int, ...], models: tuple[str, ...] = ()) -> None:
        """Remove pushed photo sets, with their photos and trainings, and model files."""
        for id in tunes:
            self._store().delete(id)
            forget_training(self._state_folder, id)
        for name in set(models) & set(self.models()):
            (self._base / "models" / name).unlink(missing_ok=True)

    def told(self, tune_id: int, known: Mapping[str, int] | None = None) -> Told:
        """Return the files of a training that are not `known` by their versions, with theirs."""
        folder = training_folder(self._state_folder, tune_id)
        found: dict[str, tuple[int, bytes]] = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            with contextlib.suppress(OSError):  # it has just been replaced, and comes next time
                version = path.stat().st_mtime_ns
                if path.is_file() and path.suffix != PARTIAL and (known or {}).get(name) != version:
                    found[name] = (version, path.read_bytes())
        return found

    def _store(self) -> TuneStore:
        self._state_folder.mkdir(parents=True, exist_ok=True)
        return TuneStore(self._state_folder)

    def _options(self) -> HostOptions:
        on_cpu = self._device == "cpu"
        seen = () if on_cpu else (("CUDA_VISIBLE_DEVICES", self._device),)
        return HostOptions(
            self._base, cpu=on_cpu, variables=seen, start_timeout_s=math.inf, packs=self._packs
        )

    @staticmethod
    def _is_alive(host: Host) -> bool:
        return host.process is not None and host.process.poll() is None

    def _lacking(self, run: Run) -> tuple[str, ...]:
        """Return the model files that a run names, come without content, and are not here."""
        folders = [self._base / "models"]
        if self._environment.models is not None:
            folders.append(self._environment.models)
        lacks = []
        for name, wanted in run.models.items():
            there = [path.stat() for one in folders if (path := one / name).is_file()]
            is_here = any(
                one.st_size == wanted.size
                and abs(one.st_mtime - wanted.modified_s) < _SAME_MOMENT_S
                for one in there
            )
            if not is_here and wanted.content is None:
                lacks.append(name)
        return tuple(lacks)

    def _bring(self, run: Run) -> None:
        for (folder, name), content in run.files.items():
            path = self._base / folder / name
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(path, content)
        for name, brought in run.models.items():
            if brought.content is not None:
                path = self._base / "models" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(path, brought.content)
                os.utime(path, (brought.modified_s, brought.modified_s))
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

    def _followed(self, host: Host, run: Run) -> Mapping[str, Any]:
        """Return the history entry of a run. Raises: OSError where ComfyUI ended, or hangs."""
        began, run_id = time.time(), run.run_id
        while time.time() - max(began, self._told_at(run.trains)) < RUN_TIMEOUT_S:
            entry = host.client.get_json(f"/history/{run_id}").get(run_id)
            if entry is not None:
                return {"outputs": entry["outputs"], "status": entry["status"]}
            if not self._is_alive(host):
                raise OSError("ComfyUI ended")
            time.sleep(_POLL_S)
        raise TimeoutError(f"the run took more than {RUN_TIMEOUT_S:g} s")

    def _told_at(self, tune_id: int) -> float:
        """Return when a training last told of itself, 0 where none does."""
        path = training_folder(self._state_folder, tune_id) / PROGRESS_FILE
        return path.stat().st_mtime if tune_id and path.exists() else 0.0

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


def packs_here() -> tuple[Path, ...]:
    """Return the other node packs that this machine's workers load."""
    named = os.environ.get("ASTRIA_FLEET_PACKS", "").split(os.pathsep)
    return tuple(Path(one) for one in named if one)
