"""A training, or what follows it, that ends early: its tune's progress says how."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from comfy.model_management import InterruptProcessingException

from ...errors import AstriaError
from ...host.shown_paths import without_folders
from ...host.state import state_folder
from ...tunes.state import training_folder
from ...tunes.store import TuneStore
from ..progress import FAILED, INTERRUPTED, PROGRESS_FILE, change_progress


@contextmanager
def told_how_it_ends(tune_id: int) -> Iterator[None]:
    """Note in the progress of the tune that what runs within was interrupted, or failed and why.

    Nothing is noted of a tune that is gone, or that no training told of.
    """
    try:
        yield
    except InterruptProcessingException:
        _end(tune_id, state=INTERRUPTED)
        raise
    except AstriaError as error:
        _end(tune_id, state=FAILED, user_error=without_folders(str(error)), code=error.code)
        raise
    except Exception as error:
        # Whoever waits for the tune is told; the host shows it as of any other node.
        said = f"{type(error).__name__}: {error}"
        _end(tune_id, state=FAILED, user_error=without_folders(said), code="training-failed")
        raise


def _end(tune_id: int, **changes: object) -> None:
    folder = state_folder()
    is_told = (training_folder(folder, tune_id) / PROGRESS_FILE).exists()
    if is_told and TuneStore(folder).get(tune_id) is not None:
        change_progress(folder, tune_id, eta_s=None, **changes)
