"""What became of a run: its entry in ComfyUI's history -> the prompt as it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..tunes.prompts import Prompt
from ..tunes.tune import iso
from .objects import prompt_object


def ended(prompt: Prompt, entry: Mapping[str, Any] | None) -> Prompt:
    """Return the prompt as it ended by its entry, outputs and status, without the times.

    None stands for a run that was taken off the queue.
    """
    if entry is None:
        return replace(prompt, status="failed", user_error=why_failed(None))
    prompt = replace(prompt, notices=tuple(dict.fromkeys((*prompt.notices, *_node_notes(entry)))))
    if not is_success(entry):
        return replace(prompt, status="failed", user_error=why_failed(entry))
    images = [
        image
        for node, output in sorted(entry["outputs"].items())
        if node.startswith("output.")
        for image in output.get("images", [])
    ]
    kept = tuple(
        {key: image.get(key, "") for key in ("filename", "subfolder", "type")} for image in images
    )
    return replace(prompt, status="done", images=kept)


def object_of(prompt: Prompt, origin: str) -> dict[str, Any]:
    """Return the prompt as the API answers with it, its addresses beginning with `origin`."""
    stored = {
        **vars(prompt),
        **{key: iso(value) for key, value in vars(prompt).items() if key.endswith("_at")},
    }
    return prompt_object(stored, prompt.fields, origin)


def is_success(entry: Mapping[str, Any]) -> bool:
    """Say whether a run ended well."""
    return (entry["status"] or {}).get("status_str") == "success"


def why_failed(entry: Mapping[str, Any] | None) -> str:
    """Say why a run ended without success."""
    if entry is None:
        return "It was taken off ComfyUI's queue before it ran, or its history was cleared."
    for kind, data in (entry["status"] or {}).get("messages", []):
        if kind == "execution_error":
            return (
                f"node {data.get('node_id')} ({data.get('node_type')}):"
                f" {str(data.get('exception_message', '')).strip()}"
            )
        if kind == "execution_interrupted":
            return "It was interrupted."
    return "ComfyUI ended its run without a message."


def is_out_of_memory(entry: Mapping[str, Any] | None) -> bool:
    """Say whether a run ended because memory was short, by the name of the error."""
    return "outofmemory" in error_of(entry).lower()


def error_of(entry: Mapping[str, Any] | None) -> str:
    """Return the name of the error that ended a run, with its module; empty without one."""
    messages = ((entry or {}).get("status") or {}).get("messages", [])
    names = [data.get("exception_type") for kind, data in messages if kind == "execution_error"]
    return str(names[0]) if names else ""


def _node_notes(entry: Mapping[str, Any]) -> list[str]:
    """Return the notes of a run's nodes, a line each, in the order of their running."""
    notes = [note for one in entry["outputs"].values() for note in one.get("astria_notes", ())]
    lines = (line for note in notes for line in str(note).splitlines())
    return [line for line in lines if line.strip()]
