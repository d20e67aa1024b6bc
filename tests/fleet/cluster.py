"""A cluster of three nodes on this machine, with a ComfyUI that is none on each."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from comfyui_astria.devtools.host import free_port
from comfyui_astria.devtools.paths import FLEET_VENV, ROOT, venv_python
from comfyui_astria.fleet import nodes
from comfyui_astria.fleet.environment import make_token, variables
from comfyui_astria.nodes.net.fleet_files import FOLDERS_FILE, STATUS_FILE
from comfyui_astria.nodes.training.asked import Training, TrainingStore
from comfyui_astria.nodes.training.fleet_runs import FleetRuns
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.store import TuneStore
from PIL import Image

FAKE = Path(__file__).parent / "fake_comfyui"
HOST = "127.0.0.2"  # Ray replaces 127.0.0.1 by the machine's own address
MACHINES = ("m1", "m2", "m3")
WAIT_S = 240
BASES = ("a.safetensors", "b.safetensors", "c.safetensors")


@dataclass
class Cluster:
    """Head, nodes and dispatcher as processes, and the API's folder without its ComfyUI."""

    folder: Path
    port: int = field(default_factory=free_port)
    stack: ExitStack = field(default_factory=ExitStack)
    node_of: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    dispatcher: subprocess.Popen[bytes] | None = None
    comfyui: Path = FAKE
    packs: tuple[Path, ...] = ()
    # What Ray's head would tell the world, or ask it: it arrives here, on the loopback.
    pings: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the head listens."""
        return f"{HOST}:{self.port}"

    @property
    def token(self) -> Path:
        """The file of the token."""
        return self.folder / "token"

    @property
    def state(self) -> Path:
        """The pack's private folder of the API's ComfyUI."""
        return self.folder / "api" / "user" / "__astria"

    @property
    def runs(self) -> list[str]:
        """What the fakes began to run: run id and seed of each."""
        path = self.folder / "runs"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def furnish(self) -> PromptStore:
        """Make the API's folders, and return its prompts."""
        self.state.mkdir(parents=True)
        (self.state / "api.ini").write_text("fleet = yes\nmark_pictures = no\n", encoding="utf-8")
        folders = {name: str(self.folder / "api" / name) for name in ("input", "output", "temp")}
        models = {name: self.folder / "api" / "models" / name for name in ("loras", "checkpoints")}
        folders |= {name: str(folder) for name, folder in models.items()}
        for one in folders.values():
            Path(one).mkdir(parents=True)
        (self.state / FOLDERS_FILE).write_text(json.dumps(folders), encoding="utf-8")
        return PromptStore(self.state)

    def start_nodes(self, *names: str) -> None:
        """Start nodes with one worker each; at once, those of one machine disturb each other."""
        for name in names:
            about = (Path(sys.executable), self.comfyui, None, self.folder / name, self.packs)
            options = nodes.MachineOptions(name, ["cpu-1"], *about)
            self.node_of[name] = self.stack.enter_context(
                nodes.node(self.address, options, self.token, self.log_of(name))
            )
            nodes.wait_started(self.node_of[name], name, self.log_of(name))

    def log_of(self, name: str) -> Path:
        """Return where a node writes."""
        return self.folder / f"{name}.log"

    def start_dispatcher(self) -> None:
        """Start a dispatcher, as `python dev.py fleet dispatch` does."""
        line = [str(venv_python(FLEET_VENV)), str(ROOT / "dev.py"), "fleet", "dispatch"]
        given = ["--comfyui", str(self.folder / "api"), "--token", str(self.token)]
        with (self.folder / "dispatcher.log").open("ab") as log:
            self.dispatcher = subprocess.Popen(
                [*line, self.address, *given],
                env={**variables(self.token), "ASTRIA_FLEET_INSIDE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop_dispatcher(self) -> None:
        """End the dispatcher as kill -9 does."""
        assert self.dispatcher is not None
        self.dispatcher.kill()
        self.dispatcher.wait()

    def status(self) -> dict[str, Any]:
        """Return what the dispatcher tells."""
        path = self.state / STATUS_FILE
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"workers": {}}

    def fake_of(self, machine: str) -> psutil.Process:
        """Return the process of a machine's ComfyUI."""
        base = str(self.folder / machine)
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if "main.py" in line and any(one.startswith(base) for one in line):
                return process
        raise LookupError(machine)

    def kill_node(self, machine: str) -> None:
        """End a node and all its processes as a machine that loses its power does."""
        top = psutil.Process(self.node_of[machine].pid)
        for process in [top, *top.children(recursive=True)]:
            process.kill()
        self.node_of[machine].wait()

    def told(self) -> str:
        """Return what the processes have written, for a test that fails."""
        logs = [self.folder / "dispatcher.log", *self.folder.glob("*.log")]
        return "\n".join(f"{one}:\n{one.read_text(errors='replace')[-3000:]}" for one in logs)


def prompt_of(number: int, **scene: Any) -> Prompt:
    """Return a prompt that the fake can run."""
    inputs = {"seed": number, "ckpt_name": BASES[number % len(BASES)], **scene}
    workflow = {
        "scene": {"class_type": "Fake", "inputs": inputs},
        "output.save": {"class_type": "SaveImage", "inputs": {}},
    }
    return Prompt("690204", {"text": str(number)}, str(number), "http://127.0.0.1:8188", workflow)


def training_of(tune_id: int, steps: int) -> dict[str, Any]:
    """Return the workflow of a training, as far as a fleet and the fake look at it."""
    words = {"tune": str(tune_id), "token": "sks", "name": "woman"}
    return {
        "training.photos": {"class_type": "AstriaTunePhotos", "inputs": words},
        "training.lora": {
            "class_type": "AstriaTrainLora",
            "inputs": {"tune_id": tune_id, "steps": steps},
        },
        "output.tune": {"class_type": "AstriaSaveTune", "inputs": {"tune_id": tune_id}},
    }


def asked_training(state: Path, steps: int, callback: str | None = None) -> int:
    """Store a tune that a fleet is to train, as the API does, and return its id."""
    about = {"photos": 4, "name": "woman", "model_type": "lora", "sizes_px": [512]}
    training = Training(about, "http://127.0.0.1:8188", callback)
    photos = [png(value) for value in range(4)]
    tune = TuneStore(state).create(
        title="Ann", photos=photos, beside=TrainingStore.beside(training), token="sks"
    )
    FleetRuns(state).put(training.run_id, tune.id, training_of(tune.id, steps))
    return tune.id


def png(grey: int = 0) -> bytes:
    """Return a small picture."""
    buffer = io.BytesIO()
    Image.new("L", (4, 4), grey).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def cluster_in(
    folder: Path,
    machines: Sequence[str] = MACHINES,
    comfyui: Path = FAKE,
    packs: tuple[Path, ...] = (),
    **fake: str,
) -> Iterator[Cluster]:
    """Run a cluster; `packs` and variables, `fake`, are for the ComfyUIs."""
    cluster = Cluster(folder, comfyui=comfyui, packs=packs)
    make_token(cluster.token)
    before = dict(os.environ)
    os.environ.update({"FAKE_RUNS": str(folder / "runs"), **fake})
    with cluster.stack:
        try:
            log = folder / "head.log"
            sink = cluster.stack.enter_context(_receiving(cluster.pings))
            head = nodes.head(HOST, cluster.port, cluster.token, log, sink)
            nodes.wait_started(cluster.stack.enter_context(head), "the head", log)
            cluster.start_nodes(*machines)
            yield cluster
        finally:
            os.environ.clear()
            os.environ.update(before)
            if cluster.dispatcher is not None:
                cluster.dispatcher.kill()
                cluster.dispatcher.wait()


@contextmanager
def _receiving(arrived: list[str]) -> Iterator[str]:
    """Answer at the address that is given, as a server and as a proxy, and note who asks."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            arrived.append(f"{self.command} {self.path}")
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_CONNECT = answer

        def log_message(self, *values: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until(condition: Callable[[], object], cluster: Cluster, wait_s: float = WAIT_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it does not come about\n{cluster.status()}\n{cluster.told()}")
        time.sleep(0.05)
