"""A ComfyUI that draws nothing: its routes, its queue of one, its history, on the standard library.

A run takes FAKE_SECONDS, and FAKE_LOAD_SECONDS more where its checkpoint is another than before. A
line for each run that begins is added to FAKE_RUNS, with the step that a training begins at.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SECONDS = float(os.environ.get("FAKE_SECONDS", "0.2"))
LOAD_SECONDS = float(os.environ.get("FAKE_LOAD_SECONDS", "0"))
_STEP_S = 0.02
REFUSAL = {
    "error": {"message": "Prompt outputs failed validation"},
    "node_errors": {
        "scene": {
            "class_type": "Fake",
            "errors": [
                {
                    "type": "value_not_in_list",
                    "message": "Value not in list",
                    "details": "nothing.safetensors",
                }
            ],
        }
    },
}


def png(value: int) -> bytes:
    """Return a picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, value % 256]))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def scene_of(graph: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of the node that tells what to do; a workflow of the pack has none."""
    return graph.get("scene", {"inputs": {}})["inputs"]


def note(line: str) -> None:
    """Note what begins to run."""
    with Path(os.environ.get("FAKE_RUNS", os.devnull)).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def put_whole(path: Path, text: str) -> None:
    """Write a file that is there whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


class Fake:
    """The queue: one run at a time."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.history: dict[str, Any] = {}
        self.interrupted: set[str] = set()
        self.running = ""
        self._turn = threading.Lock()
        self._loaded = ""
        self._number = 0

    def queue(self, prompt_id: str, graph: dict[str, Any]) -> None:
        """Begin a run when those before it have ended."""
        threading.Thread(target=self._run, args=(prompt_id, graph), daemon=True).start()

    def _run(self, prompt_id: str, graph: dict[str, Any]) -> None:
        with self._turn:
            self.running = prompt_id
            if "training.lora" in graph:
                self.history[prompt_id] = self._train(prompt_id, graph)
                self.running = ""
                return
            note(f"{prompt_id} {scene_of(graph).get('seed')}")
            named = [node["inputs"].get("ckpt_name") for node in graph.values()]
            model = next(filter(None, named), "")
            paints = scene_of(graph).get("seconds", SECONDS)
            until = time.monotonic() + paints + (LOAD_SECONDS if model != self._loaded else 0)
            self._loaded = model
            while time.monotonic() < until and prompt_id not in self.interrupted:
                time.sleep(_STEP_S)
            self.history[prompt_id] = (
                self._stopped() if prompt_id in self.interrupted else self._done(graph)
            )
            self.running = ""

    def _train(self, prompt_id: str, graph: dict[str, Any]) -> dict[str, Any]:
        """Learn nothing, step by step, from the state that is there."""
        asked = graph["training.lora"]["inputs"]
        id, steps = asked["tune_id"], asked["steps"]
        folder = self.base / "user" / "__astria" / "training" / str(id)
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "resume.safetensors"
        step = int(state.read_text()) if state.exists() else 0
        note(f"{prompt_id} training of {id} at {step}")
        while step < steps:
            if prompt_id in self.interrupted:
                return self._stopped()
            time.sleep(_STEP_S)
            step += 1
            put_whole(state, str(step))
            told = {"tune_id": id, "state": "training", "step": step, "steps": steps}
            put_whole(folder / "progress.json", json.dumps(told))
        name = f"astria/tune-{id}.safetensors"
        put_whole(self.base / "models" / "loras" / name, f"trained {id}")
        outcome = {"tune_id": id, "file": name, "model_type": "lora"}
        return {
            "outputs": {"output.tune": {"astria_training": [outcome]}},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }

    def lacks(self, graph: dict[str, Any]) -> bool:
        """Say whether a LoRA is not there that a workflow names."""
        name = scene_of(graph).get("lora_name")
        return bool(name) and not (self.base / "models" / "loras" / name).exists()

    def _done(self, graph: dict[str, Any]) -> dict[str, Any]:
        if scene_of(graph).get("fails"):
            text = f"no paint in {scene_of(graph)['fails']}"
            data = {"node_id": "scene", "node_type": "Fake", "exception_message": text}
            return {"outputs": {}, "status": _status("error", "execution_error", data)}
        self._number += 1
        name = f"astria_{self._number:05d}_.png"
        (self.base / "output" / name).write_bytes(png(scene_of(graph).get("seed", 0)))
        image = {"filename": name, "subfolder": "", "type": "output"}
        return {
            "outputs": {"output.save": {"images": [image]}},
            "status": {"status_str": "success", "completed": True, "messages": []},
        }

    @staticmethod
    def _stopped() -> dict[str, Any]:
        return {"outputs": {}, "status": _status("error", "execution_interrupted", {})}


def _status(text: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"status_str": text, "completed": False, "messages": [[kind, data]]}


class Handler(BaseHTTPRequestHandler):
    """The routes that a worker asks."""

    fake: Fake

    def do_GET(self) -> None:
        id = self.path.rpartition("/")[2]
        if self.path.startswith("/history/"):
            self._answer({id: self.fake.history[id]} if id in self.fake.history else {})
        else:
            # What it was started with, for tests to look at.
            self._answer({"system": {}, "environment": dict(os.environ)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/interrupt":
            self.fake.interrupted.add(body["prompt_id"])
        elif scene_of(body["prompt"]).get("refused") or self.fake.lacks(body["prompt"]):
            self._answer(REFUSAL, 400)
            return
        else:
            self.fake.queue(body["prompt_id"], body["prompt"])
        self._answer({"prompt_id": body.get("prompt_id"), "node_errors": {}})

    def _answer(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *values: Any) -> None:
        pass


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--base-directory", type=Path)
    given, _ = parser.parse_known_args()
    Handler.fake = Fake(given.base_directory)
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


main()
