"""`python dev.py clean-metadata`: takes out of saved files what ComfyUI's cache left in them.

ComfyUI writes what each node answered for the cache, `is_changed`, into the `prompt` metadata of
what it saves. Versions of this pack before its fingerprints were hashes answered with the text of
the bindings file and names of files.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .console import DevError, say

LEFT = "is_changed"
KINDS = ".png, .webp, .exr, .latent and .safetensors"
_PNG = b"\x89PNG\r\n\x1a\n"
_EXR = b"\x76\x2f\x31\x01"
_EXIF = b"Exif\0\0"
_ASCII = 2  # type of a text in EXIF data
_PROMPT = b"prompt:"  # what the host's texts there begin with
_CHUNK_EXTRA = 12  # length, type and CRC around the data of a PNG's chunk
_MAX_HEADER = 100_000_000  # of a .safetensors file, as its own reader allows
_DECODER = json.JSONDecoder()

# What is left of a file, and how many entries were taken out.
Cleaned = tuple[bytes, int]


def run(argv: Sequence[str]) -> int:
    """Clean the files, say of each what was done, and return 1 where one could not be, else 0.

    Raises: DevError without files.
    """
    if not argv:
        raise DevError(
            "clean-metadata takes the files to clean; none is given.",
            "For example: python dev.py clean-metadata output/*.png",
        )
    is_whole = True
    for name in _files(argv):
        try:
            removed = clean_file(Path(name))
        except DevError as error:
            is_whole = False
            say(f"{name}: left as it is. {error}")
            continue
        said = f"{removed} {LEFT} entries removed" if removed else f"holds no {LEFT} entry"
        say(f"{name}: {said}")
    return 0 if is_whole else 1


def _files(argv: Sequence[str]) -> Iterator[str]:
    """Give the files; patterns count too, which not every shell replaces by files."""
    for name in argv:
        yield from [name] if os.path.exists(name) else sorted(glob.glob(name)) or [name]


def clean_file(path: Path) -> int:
    """Take the `is_changed` entries out of a file's `prompt` metadata, and nothing else.

    Return how many there were; a file without any is not written. It is replaced as a whole, and
    its pixels stay as they are stored, to the byte.
    Raises: DevError for what cannot be read or written, or is of another kind.
    """
    try:
        data = path.read_bytes()
        cleaned, removed = _cleaner(data)(data)
        if removed:
            _replace(path.resolve(), cleaned)
    except OSError as error:
        raise DevError(
            f"{error.strerror or error}.", "Give files that you may read and write."
        ) from error
    except (ValueError, struct.error, zlib.error) as error:
        raise DevError(
            f"Its {LEFT} entries cannot be found: {error}.", "Is it whole, and of ComfyUI?"
        ) from error
    return removed


def without_left(text: str) -> tuple[str, int]:
    """Return an API workflow as JSON without what the cache left at its nodes, every other
    character as it was, and how many entries that were.

    What does not name them holds none. Raises: ValueError for what does and is no JSON.
    """
    if LEFT not in text or not isinstance(json.loads(text), dict):
        return text, 0
    spans = [
        span
        for _, start, _, begin in _members(text, 0)
        if text[begin] == "{"
        for span in _spans(list(_members(text, begin)))
    ]
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text, len(spans)


def _spans(members: Sequence[tuple[str, int, int, int]]) -> Iterator[tuple[int, int]]:
    """Give where entries stand among the members of a node, each with one comma beside it."""
    kept = [key != LEFT for key, *_ in members]
    for number, (key, start, end, _) in enumerate(members):
        if key != LEFT:
            continue
        if any(kept[number + 1 :]):
            yield start, members[number + 1][1]
        else:  # the comma before goes with it
            yield (members[number - 1][2] if number else start), end


def _members(text: str, at: int) -> Iterator[tuple[str, int, int, int]]:
    """Give key, start, end and start of the value of each member of the JSON object at `at`."""
    at = _behind_blanks(text, _behind_blanks(text, at) + 1)
    while text[at] != "}":
        start = at
        key, at = _DECODER.raw_decode(text, at)
        begin = _behind_blanks(text, _behind_blanks(text, at) + 1)  # behind the colon
        _, end = _DECODER.raw_decode(text, begin)
        yield key, start, end, begin
        at = _behind_blanks(text, end)
        if text[at] == ",":
            at = _behind_blanks(text, at + 1)


def _behind_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _cleaner(data: bytes) -> Callable[[bytes], Cleaned]:
    if data.startswith(_PNG):
        return _clean_png
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _clean_webp
    if data.startswith(_EXR):
        return _clean_exr
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= min(len(data) - 8, _MAX_HEADER):
        return _clean_safetensors
    raise DevError(
        f"It begins with {data[:12]!r}, which is none of {KINDS}.",
        "Save it anew without metadata: ffmpeg -i FILE -map_metadata -1 -c copy NEW takes all of"
        " it out of films and sounds, the workflow too.",
    )


def _clean_png(data: bytes) -> Cleaned:
    """The texts of a PNG, and of an animated one: the host writes those as chunks of its own."""
    parts, removed = [_PNG], 0
    at, kind = len(_PNG), b""
    while at < len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + _CHUNK_EXTRA + length
        if end > len(data):
            raise ValueError(f"it ends within its chunk {kind.decode('latin-1')}")
        body = data[at + 8 : end - 4]
        new, count = _clean_text_chunk(kind, body)
        if count:
            crc = zlib.crc32(kind + new)
            parts.append(struct.pack(">I4s", len(new), kind) + new + struct.pack(">I", crc))
        else:
            parts.append(data[at:end])
        removed, at = removed + count, end
    return b"".join([*parts, data[at:]]), removed


def _clean_text_chunk(kind: bytes, body: bytes) -> Cleaned:
    key, zero, value = body.partition(b"\0")
    if not zero or key != b"prompt":
        return body, 0
    if kind in (b"tEXt", b"comf"):
        text, count = _cleaned(value, "latin-1")
        return key + zero + text, count
    if kind == b"zTXt":
        text, count = _cleaned(zlib.decompress(value[1:]), "latin-1")
        return key + zero + value[:1] + zlib.compress(text), count
    if kind == b"iTXt":
        language, keyword, text = value[2:].split(b"\0", 2)
        is_packed = value[0] == 1
        text, count = _cleaned(zlib.decompress(text) if is_packed else text, "utf-8")
        head = key + zero + value[:2] + language + b"\0" + keyword + b"\0"
        return head + (zlib.compress(text) if is_packed else text), count
    return body, 0


def _clean_webp(data: bytes) -> Cleaned:
    """The EXIF texts of a WebP: `prompt:` and the workflow."""
    new, removed, at = bytearray(data), 0, 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        start, end = at + 8, at + 8 + length
        if end > len(data):
            raise ValueError(f"it ends within its chunk {kind.decode('latin-1')}")
        for begin, stop in _exif_prompts(data, start, end) if kind == b"EXIF" else ():
            removed += _clean_in_place(new, begin, stop)
        at = end + length % 2
    return bytes(new), removed


def _exif_prompts(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give where the texts behind `prompt:` stand in EXIF data (TIFF 6.0, the first directory)."""
    start += len(_EXIF) if data.startswith(_EXIF, start) else 0
    order = "<" if data.startswith(b"II", start) else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, start + 4)
    (entries,) = struct.unpack_from(f"{order}H", data, start + directory)
    for number in range(entries):
        place = start + directory + 2 + 12 * number
        _, kind, size, offset = struct.unpack_from(f"{order}HHII", data, place)
        begin, stop = start + offset, start + offset + size
        if kind == _ASCII and data.startswith(_PROMPT, begin):
            if stop > end:
                raise ValueError("its EXIF data ends within a text")
            yield begin + len(_PROMPT), stop - data[begin:stop].endswith(b"\0")


def _clean_exr(data: bytes) -> Cleaned:
    """The attribute `prompt` in the header of an OpenEXR file."""
    new, mark = bytearray(data), b"prompt\0string\0"
    found = data.find(mark, 8)
    if found < 0:
        return data, 0
    begin = found + len(mark) + 4
    stop = begin + int.from_bytes(data[begin - 4 : begin], "little")
    removed = _clean_in_place(new, begin, stop)
    return bytes(new), removed


def _clean_in_place(data: bytearray, begin: int, stop: int) -> int:
    """Clean the text at a place.

    What is taken out becomes blanks behind the JSON, so that nothing behind it moves.
    """
    text, removed = _cleaned(bytes(data[begin:stop]), "utf-8")
    data[begin:stop] = text.ljust(stop - begin)
    return removed


def _clean_safetensors(data: bytes) -> Cleaned:
    """The metadata in the header of a .safetensors file, which is filled up with blanks."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata.get("prompt"), str) or not metadata["prompt"]:
        return data, 0
    metadata["prompt"], removed = without_left(metadata["prompt"])
    new = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    if removed and len(new) > length:
        raise ValueError(f"its header would grow from {length} to {len(new)} bytes")
    return data[:8] + new.ljust(length) + data[8 + length :], removed


def _cleaned(text: bytes, encoding: str) -> Cleaned:
    new, removed = without_left(text.decode(encoding))
    return new.encode(encoding), removed


def _replace(path: Path, data: bytes) -> None:
    """Put a whole new file in the place of another, with its permissions."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, partial)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
