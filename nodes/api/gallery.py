"""The bases of the bindings, as the service's gallery shows its own."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ..tunes.bindings import KNOWN_BASES
from ..tunes.tune import Tune
from .branches import BRANCH_OF_FAMILY


def gallery_tune(id: str, family: str, bound_at: float) -> dict[str, Any]:
    """Return a base that can be drawn with in the form of `Tune.to_json`.

    `bound_at`, in seconds since 1970, is when the bindings were last written: it is ready since.
    """
    moment = datetime.fromtimestamp(int(bound_at), timezone.utc)
    base = Tune(
        title=KNOWN_BASES[id].title if id in KNOWN_BASES else f"Base {id}",
        model_type="checkpoint",
        branch=BRANCH_OF_FAMILY.get(family),
        eta=moment,
        trained_at=moment,
        started_training_at=moment,
        created_at=moment,
        updated_at=moment,
    )
    own_id = int(id) if id.isdecimal() else id
    return {**base.to_json(), "id": own_id, "token": None, "url": f"/tunes/{id}.json"}
