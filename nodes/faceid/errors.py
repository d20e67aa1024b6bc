"""Errors of FaceID adapters and their use."""

from __future__ import annotations

from ..errors import AstriaError


class FaceIDError(AstriaError):
    """A FaceID adapter that is damaged, of another family than the model, or given an identity it
    cannot use.
    """
