"""The callback that is queued when all prompts of a pack have ended."""

from __future__ import annotations

import json

from ...ends import object_of
from .. import state


def end_runs() -> tuple[bool, bool]:
    """Queue the callbacks of runs that have ended, a list of their prompts each.

    Say whether there were some, and whether there are others.
    """
    ended = False
    for run in state.packs().ended_runs():
        prompts = filter(None, map(state.prompts().get, run.prompts))
        answers = [object_of(one, one.origin) for one in prompts]
        ended = state.packs().end_run(run, json.dumps(answers, ensure_ascii=False)) or ended
    return ended, state.packs().has_runs()
