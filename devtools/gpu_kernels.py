"""The kernels for NVIDIA's GPUs in a library, without those that today's GPUs do not run.

nvcc keeps them in containers ("fatbin"), each with machine code for some generations of GPUs, and
text (PTX) that a driver compiles for a GPU that is newer than all of them. A container is a header
(magic, version, its own size, bytes behind it) and entries (kind, version, header's size, payload's
size, ..., generation at byte 28).
"""

from __future__ import annotations

import struct

_MAGIC = struct.pack("<I", 0xBA55ED50)
_HEADER = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQ")
_GENERATION = struct.Struct("<I")
_GENERATION_AT = 28
_TEXT, _CODE = 1, 2  # kinds of entries


def without_old_texts(library: bytes) -> bytes:
    """Return the library, of the same size, with zeros for texts that only a GPU would need whose
    generation has machine code beside them: all but the newest text.

    A container that cannot be read to its end stays as it is.
    """
    made = bytearray(library)
    at = library.find(_MAGIC)
    while at >= 0:
        entries = _entries(library, at)
        kept = b"".join(library[start:end] for start, end in _needed(library, entries))
        if entries:
            begin, end = entries[0][0], entries[-1][1]
            made[begin:end] = kept.ljust(end - begin, b"\0")
            _HEADER.pack_into(made, at, *_HEADER.unpack_from(library, at)[:3], len(kept))
        at = library.find(_MAGIC, at + _HEADER.size)
    return bytes(made)


def _entries(library: bytes, at: int) -> list[tuple[int, int]]:
    """Return where the entries of the container begin and end, none where it is no whole one."""
    if at + _HEADER.size > len(library):
        return []
    _, version, header, size = _HEADER.unpack_from(library, at)
    start, end = at + header, at + header + size
    if (version, header) != (1, _HEADER.size) or end > len(library):
        return []
    entries = []
    while start < end:
        if start + _GENERATION_AT + _GENERATION.size > end:
            return []
        kind, _, entry_header, payload = _ENTRY.unpack_from(library, start)
        if kind not in (_TEXT, _CODE) or entry_header < _GENERATION_AT + _GENERATION.size:
            return []
        entries.append((start, start + entry_header + payload))
        start = entries[-1][1]
    return entries if start == end else []


def _needed(library: bytes, entries: list[tuple[int, int]]) -> list[tuple[int, int]]:
    about = [
        (
            _ENTRY.unpack_from(library, start)[0],
            *_GENERATION.unpack_from(library, start + _GENERATION_AT),
        )
        for start, _ in entries
    ]
    coded = {generation for kind, generation in about if kind == _CODE}
    newest = max((generation for _, generation in about), default=0)
    return [
        where
        for where, (kind, generation) in zip(entries, about, strict=True)
        if kind == _CODE or generation == newest or generation not in coded
    ]
