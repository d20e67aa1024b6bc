"""A small client of ComfyUI's HTTP API on the standard library.

Queue a graph, wait for it, fetch its pictures.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

Graph = Mapping[str, Mapping[str, Any]]
_POLL_S = 0.05


class RunError(Exception):
    """The host refused a graph or failed while running it.

    `node_errors` is the host's answer per node id when validation refused it; `execution` the
    host's `execution_error` record.
    """

    def __init__(
        self,
        message: str,
        *,
        node_errors: Mapping[str, Any] | None = None,
        execution: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.node_errors = dict(node_errors or {})
        self.execution = dict(execution or {})


class Client:
    """Speaks to the host at `url`, for instance `http://127.0.0.1:8188`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A proxy of the environment must never stand between us and a host on the same machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, *, timeout_s: float = 30) -> bytes:
        """Return the body of a GET.

        Raises: urllib.error.HTTPError for an error status, URLError when nobody listens.
        """
        with self._opener.open(self.url + path, timeout=timeout_s) as answer:
            return answer.read()

    def get_json(self, path: str, *, timeout_s: float = 30) -> Any:
        """Return the decoded JSON of a GET."""
        return json.loads(self.get(path, timeout_s=timeout_s))

    def post_json(self, path: str, body: Any) -> tuple[int, Any]:
        """Return status and decoded JSON (None for an empty body) of a POST.

        An error status is a result here, not an exception.
        """
        return self._post(path, json.dumps(body).encode(), "application/json")

    def system_stats(self) -> dict[str, Any]:
        """Return the host's description of itself; it answers once the host is ready."""
        return self.get_json("/system_stats", timeout_s=5)

    def object_info(self) -> dict[str, Any]:
        """Return the definitions of all nodes, by class name."""
        return self.get_json("/object_info")

    def queue(self, graph: Graph) -> str:
        """Queue an API graph and return its prompt id.

        Raises: RunError when any node of it was refused.
        """
        status, answer = self.post_json("/prompt", {"prompt": graph, "client_id": "astria-dev"})
        answer = answer or {}
        refused = answer.get("node_errors") or {}
        if status != 200 or refused:  # one good output and one bad one is answered with 200
            raise RunError(_refusal_text(status, answer, refused), node_errors=refused)
        return answer["prompt_id"]

    def wait(self, prompt_id: str, *, timeout_s: float = 300) -> dict[str, Any]:
        """Return the history entry of a finished prompt.

        Raises: RunError when it failed, was interrupted or took too long.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            entry = self.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                _raise_for_status(entry)
                return entry
            time.sleep(_POLL_S)
        raise RunError(f"prompt {prompt_id} did not finish in {timeout_s:g} s")

    def run(self, graph: Graph, *, timeout_s: float = 300) -> dict[str, Any]:
        """Queue a graph, wait for it and return its history entry. Raises: RunError."""
        return self.wait(self.queue(graph), timeout_s=timeout_s)

    def upload_image(self, data: bytes, name: str) -> str:
        """Put a picture into the host's input folder and return the name to give to LoadImage."""
        boundary = uuid.uuid4().hex
        parts = [
            ("image", f'; filename="{name}"', "application/octet-stream", data),
            ("overwrite", "", "text/plain", b"true"),
        ]
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: form-data;"
            f' name="{field}"{extra}\r\nContent-Type: {kind}\r\n\r\n'.encode()
            + value
            + b"\r\n"
            for field, extra, kind, value in parts
        )
        status, answer = self._post(
            "/upload/image",
            body + f"--{boundary}--\r\n".encode(),
            f"multipart/form-data; boundary={boundary}",
        )
        if status != 200:
            raise RunError(f"the host refused the upload of {name}: HTTP {status} {answer}")
        return "/".join(part for part in (answer["subfolder"], answer["name"]) if part)

    def view(self, image: Mapping[str, str]) -> bytes:
        """Return the file of a picture that a history entry names: {filename, subfolder, type}."""
        query = urllib.parse.urlencode(
            {key: image[key] for key in ("filename", "subfolder", "type")}
        )
        return self.get(f"/view?{query}")

    def interrupt(self) -> None:
        """Stop the prompt that runs now."""
        self.post_json("/interrupt", {})

    def _post(self, path: str, body: bytes, kind: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path, data=body, headers={"Content-Type": kind}, method="POST"
        )
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, _decode(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decode(error.read())


def images_of(entry: Mapping[str, Any], node_id: str | None = None) -> list[dict[str, str]]:
    """Return the pictures of a history entry in the order of its nodes, or those of one node."""
    outputs = entry["outputs"]
    chosen = outputs.values() if node_id is None else [outputs.get(node_id, {})]
    return [image for output in chosen for image in output.get("images", [])]


def cached_nodes(entry: Mapping[str, Any]) -> set[str]:
    """Return the ids of the nodes that the host did not run again for this entry."""
    return {
        node
        for kind, data in entry["status"]["messages"]
        if kind == "execution_cached"
        for node in data["nodes"]
    }


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")


def _refusal_text(status: int, answer: Any, refused: Mapping[str, Any]) -> str:
    lines = [
        f"node {node} ({record.get('class_type', '?')}): {error['message']}:"
        f" {error.get('details', '')}"
        for node, record in refused.items()
        for error in record.get("errors", [])
    ]
    error = answer.get("error") if isinstance(answer, dict) else answer
    headline = (
        f"{error.get('message')} {error.get('details', '')}".strip()
        if isinstance(error, dict)
        else str(error or "")
    )
    return "\n".join([f"the host refused the graph (HTTP {status}) {headline}".rstrip(), *lines])


def _raise_for_status(entry: Mapping[str, Any]) -> None:
    status = entry["status"]
    if status["status_str"] == "success":
        return
    for kind, data in status["messages"]:
        if kind == "execution_error":
            text = (
                f"node {data['node_id']} ({data['node_type']}) failed with"
                f" {data['exception_type']}: {data['exception_message'].strip()}"
            )
            raise RunError(text, execution=data)
        if kind == "execution_interrupted":
            raise RunError(
                f"interrupted at node {data['node_id']} ({data['node_type']})", execution=data
            )
    raise RunError(f"the run ended as {status['status_str']!r} without a message")
