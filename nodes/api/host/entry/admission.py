"""Admission of prompts: checked by ComfyUI, stored, and put on its queue, in their order.

Those that come at once are stored in one transaction, so that they wait for the disk once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths

from ....net.files import put_whole
from ....net.problems import ApiError
from ....net.settings import ApiSettings
from ....tunes.prompts import Prompt
from .. import state
from ..prompts import Prepared
from .host_queue import Item

_TOGETHER = 32  # so that the first of a crowd does not wait for its last


@dataclass(eq=False)
class _Entrant:
    """A prompt that waits to be admitted, and the future answer to its request."""

    prepared: Prepared
    settings: ApiSettings
    answer: asyncio.Future[Prompt]
    item: Item = ()
    new_pictures: Sequence[Path] = ()

    @property
    def prompt(self) -> Prompt:
        return self.prepared.prompt

    def settle(self, outcome: Prompt | BaseException) -> None:
        """Answer the request, unless it has its answer or was cancelled."""
        if self.answer.done():
            return
        if isinstance(outcome, Prompt):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class Admission:
    """Lets prompts in. Its methods run in the server's own thread.

    `order` is held meanwhile. `check` returns what ComfyUI's queue needs of a prompt, or raises
    ApiError; `put` puts it there once the prompt is stored.
    """

    def __init__(
        self,
        order: asyncio.Lock,
        check: Callable[[Prompt], Awaitable[Item]],
        put: Callable[[Item, Prompt], None],
    ) -> None:
        self._order = order
        self._check = check
        self._put = put
        self._asked: deque[_Entrant] = deque()
        self._turn: asyncio.Task | None = None
        # Of its own, so that a crowd that looks things up does not hold up those who come.
        self._clerk = ThreadPoolExecutor(1, "astria-admission")

    async def admit(self, prepared: Prepared, settings: ApiSettings) -> Prompt:
        """Return the prompt as it is stored and queued, behind all that came before.

        Raises: ApiError when too many wait, ComfyUI refuses the workflow, or its tune was deleted
        meanwhile.
        """
        asked = _Entrant(prepared, settings, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._turn is None:
            self._turn = asyncio.create_task(self._take_turn())
        return await asked.answer

    async def _take_turn(self) -> None:
        """Let in those that wait; another turn follows for those that come meanwhile."""
        async with self._order:
            together = self._next()
            [outcomes] = await asyncio.gather(self._let_in(together), return_exceptions=True)
        for one in together:
            one.settle(outcomes if isinstance(outcomes, BaseException) else outcomes[one])
        self._turn = asyncio.create_task(self._take_turn()) if self._asked else None

    def _next(self) -> Sequence[_Entrant]:
        """Take the next ones, up to the first that asks for the same as one before it.

        That one is looked up when the other is stored.
        """
        found: dict[tuple[str, str], _Entrant] = {}
        while self._asked and len(found) < _TOGETHER:
            prompt = self._asked[0].prompt
            same = prompt.digest if self._asked[0].settings.idempotent else prompt.run_id
            if (prompt.tune_id, same) in found:
                break
            found[prompt.tune_id, same] = self._asked.popleft()
        return [one for one in found.values() if not one.answer.done()]

    async def _let_in(
        self, together: Sequence[_Entrant]
    ) -> Mapping[_Entrant, Prompt | BaseException]:
        """Return the outcome of each."""
        there, waiting = await self._in_clerk_thread(_look_up, together)
        new = [one for one in together if one not in there]
        # An error is that of one prompt, and no concern of the others.
        errors = await asyncio.gather(
            *(self._make_ready(one, waiting) for one in new), return_exceptions=True
        )
        refused: dict[_Entrant, BaseException] = {}
        ready: list[_Entrant] = []
        for one, error in zip(new, errors, strict=True):
            if error is None and waiting + len(ready) >= one.settings.max_waiting:
                error = _full(one.settings)
            if error is None:
                ready.append(one)
            else:
                refused[one] = error
        stored = await self._stored(ready) if ready else {}
        for one, prompt in stored.items():
            if isinstance(prompt, Prompt):
                self._put(one.item, prompt)
        if any(one.new_pictures for one in new):
            await self._in_clerk_thread(_remove_unused, new, stored)
        return {**there, **refused, **stored}

    async def _in_clerk_thread(self, act: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._clerk, act, *values)

    async def _make_ready(self, one: _Entrant, waiting: int) -> None:
        if waiting >= one.settings.max_waiting:
            raise _full(one.settings)
        if one.prepared.pictures:
            one.new_pictures = await self._in_clerk_thread(_put_pictures, one.prepared.pictures)
        one.item = await self._check(one.prompt)

    async def _stored(self, ready: Sequence[_Entrant]) -> Mapping[_Entrant, Prompt | BaseException]:
        """Store all at once, or each by itself where one of them keeps the others from it."""
        [stored] = await asyncio.gather(
            self._in_clerk_thread(
                state.prompts().add_together, [(one.prompt, one.prepared.tune) for one in ready]
            ),
            return_exceptions=True,
        )
        if not isinstance(stored, BaseException):
            return {
                one: _tune_is_gone(one.prompt.tune_id) if prompt is None else prompt
                for one, prompt in zip(ready, stored, strict=True)
            }
        if len(ready) == 1:
            return {ready[0]: stored}
        outcomes: dict[_Entrant, Prompt | BaseException] = {}
        for alone in ready:
            outcomes |= await self._stored([alone])
        return outcomes


def _full(settings: ApiSettings) -> ApiError:
    return ApiError(
        f"{settings.max_waiting} prompts are waiting already",
        code="queue-full",
        hint="Try again later; the owner may raise max_waiting in api.ini.",
        status=429,
    )


def _tune_is_gone(tune_id: str) -> ApiError:
    return ApiError(
        f"tune {tune_id} was deleted while this prompt was prepared",
        code="not-found",
        hint="Nothing was queued.",
        status=404,
    )


def _look_up(together: Sequence[_Entrant]) -> tuple[Mapping[_Entrant, Prompt], int]:
    """Return the prompts that are there already, where that is asked for, and how many wait."""
    store = state.prompts()
    there = {
        one: found
        for one in together
        if one.settings.idempotent and (found := store.find(one.prompt.tune_id, one.prompt.digest))
    }
    return there, store.count_open()


def _put_pictures(pictures: Mapping[str, bytes]) -> Sequence[Path]:
    """Write pictures into ComfyUI's input folder; return those that were not there before."""
    root = Path(folder_paths.get_input_directory())
    return [root / name for name, content in pictures.items() if put_whole(root / name, content)]


def _remove_unused(
    new: Sequence[_Entrant], stored: Mapping[_Entrant, Prompt | BaseException]
) -> None:
    """Remove the pictures that came with prompts that were not let in, and with no other."""
    root = Path(folder_paths.get_input_directory())
    prompts = [one for one in stored.values() if isinstance(one, Prompt)]
    used = {root / name for prompt in prompts for name in prompt.inputs}
    for path in {path for one in new for path in one.new_pictures} - used:
        path.unlink(missing_ok=True)
