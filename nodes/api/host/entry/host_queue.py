"""ComfyUI's own queue: what is put there, what runs, and what became of it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import execution
from server import PromptServer

from ....net.problems import ApiError

Item = tuple  # workflow, extra data and outputs of an entry


class HostQueue:
    """Entries of ComfyUI's queue by the ids of their runs.

    Its methods run in the server's own thread.
    """

    def __init__(self) -> None:
        self._server = PromptServer.instance

    async def item(self, run_id: str, workflow: Mapping[str, Any]) -> Item:
        """Return what an entry for the workflow holds, as ComfyUI's POST /prompt makes it.

        Other packs' prompt handlers see it too. Raises: ApiError where ComfyUI refuses it.
        """
        body = self._server.trigger_on_prompt(
            {"prompt": copy.deepcopy(dict(workflow)), "extra_data": {}}
        )
        graph = body["prompt"]
        valid, error, outputs, node_errors = await execution.validate_prompt(run_id, graph, None)
        if not valid or node_errors:
            raise _refused(error, node_errors)
        extra = {**body.get("extra_data", {}), "create_time": int(time.time() * 1000)}
        return (graph, extra, outputs)

    def put(self, item: Item, run_id: str) -> None:
        """Put an entry behind all others."""
        number = self._server.number  # only now, for it is the order of the queue
        self._server.number += 1
        self._server.prompt_queue.put((number, run_id, *item, {}))

    def remove(self, run_id: str) -> None:
        """Take an entry off the queue, or interrupt it where it runs."""
        self._server.prompt_queue.delete_queue_item(lambda item: item[1] == run_id)
        self._server.prompt_queue.interrupt_if_running(run_id)

    def now(self) -> tuple[set[str], set[str]]:
        """Return the runs that are under way, and those that wait."""
        running, waiting = self._server.prompt_queue.get_current_queue_volatile()
        return {item[1] for item in running}, {item[1] for item in waiting}

    def has(self, run_id: str) -> bool:
        """Say whether a run outlived the ComfyUI that it was asked of: none does."""
        return False

    def ended(self, run_id: str) -> Mapping[str, Any] | None:
        """Return outputs and status of a run that has ended.

        None for one that was taken off the queue. Look only once it is not on the queue.
        """
        return self._server.prompt_queue.get_history(prompt_id=run_id, map_function=_result).get(
            run_id
        )


def _result(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is needed of a history entry, without a copy of its workflow."""
    return {"outputs": entry["outputs"], "status": entry["status"]}


def _refused(error: Mapping[str, Any] | None, node_errors: Mapping[str, Any]) -> ApiError:
    said = [
        f"node {node} ({record.get('class_type', '?')}): {one.get('message', '')}"
        f" {one.get('details', '')}".strip()
        for node, record in (node_errors or {}).items()
        for one in record.get("errors", [])
    ]
    headline = (error or {}).get("message", "ComfyUI refuses the workflow")
    return ApiError(
        "\n".join([headline, *said]),
        code="prompt_outputs_failed_validation",
        hint="A model file or picture may have been moved.",
    )
