"""The prompt language: text or HTTP fields -> tree, diagnostics and a typed request.

Standard library only.
"""

from __future__ import annotations

from .analysis import parse
from .catalog import ANCHORS, FLAGS, PARAMETERS
from .images import ImageRef
from .kinds import Dilation
from .request import PromptRequest
from .segment import EmbeddingTag, FaceIdTag, LoraTag, Segment
from .source import Diagnostic, Span
from .suggest import did_you_mean
from .tree import Document, Node
from .weights import encoder_text, has_weights

__all__ = [
    "ANCHORS",
    "FLAGS",
    "PARAMETERS",
    "Diagnostic",
    "Dilation",
    "Document",
    "EmbeddingTag",
    "FaceIdTag",
    "ImageRef",
    "LoraTag",
    "Node",
    "PromptRequest",
    "Segment",
    "Span",
    "did_you_mean",
    "encoder_text",
    "has_weights",
    "parse",
]
