"""What keeps a person from being trained."""

from __future__ import annotations

from ..errors import AstriaError


class TrainingError(AstriaError):
    """A training that cannot begin or go on; names the value, what was expected and what to do.

    Codes that programs may act on: `training-memory` (smaller sizes may do), `training-nan`,
    `training-photos`, `training-agreement`, `training-disk`, `training-model`.
    """


class TrainedElsewhere(TrainingError):
    """Another ComfyUI trains this tune now; what it tells of the training stays."""
