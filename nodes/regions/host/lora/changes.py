"""The changes of a model by a LoRA file, read by the host's own rules, with the names of the
tensors behind each change.

Files under names that the host does not know for a layer that it has are read under the name that
it knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import comfy.lora
import comfy.lora_convert
import comfy.utils
from comfy.weight_adapter import OFTAdapter, WeightAdapterBase
from torch import Tensor, nn

from ...lora_fit import NO_LAYER
from ...lora_names import Fused, HostNames, stems_of
from ...lora_split import Inseparable, split_rows

# Of the host's key map: puts the rows of a change in the order of its weight.
Function = Callable[[Tensor], Tensor]
# Of the host's key map: the dimension, the first row and the count of rows of a part of a weight.
Offset = tuple[int, int, int]
# Of the host: a file's name of a layer -> a weight, or a part of one.
KeyMap = Mapping[str, str | tuple]

NO_ENCODER = "its name does not say which text encoder it is for"
NO_FORM = "a form that is not read"
NO_HALF = "the other half of the pair is missing"
TWICE = "another tensor of the file changes the same weight"
NO_SCALE = "AdaLoRA, whose scale lora_E is not read"
NO_RESCALE = "ComfyUI does not apply the scale of the form oft"
OVERRULED = "ComfyUI applies another change of the file to this layer in its place"

# PEFT's name of an adapter among several, and how it writes what others call diff_b and dora_scale.
_ADAPTER = re.compile(r"\.(lora_(?:A|B|magnitude_vector))\.(?!weight$|bias$)\w+(?=\.|$)")
_ENDINGS = (
    (".lora_B.bias", ".diff_b"),
    (".lora_magnitude_vector.weight", ".dora_scale"),
    (".lora_magnitude_vector", ".dora_scale"),
    (".magnitude", ".dora_scale"),  # ai-toolkit
)

_SCALED = re.compile(r"(.+)\.lora_E(?:\.\w+)*")


class Unfit(Exception):
    """A change that does not fit its layer or cannot be used; the message says why."""


@dataclass(frozen=True)
class LoraChange:
    """One change of the weight or bias `key`, as the host reads it from the tensors `names`."""

    key: str
    offset: Offset | None
    function: Function | None
    patch: WeightAdapterBase | tuple
    names: frozenset[str]

    @property
    def path(self) -> str:
        """The module that holds the weight."""
        return self.key.rpartition(".")[0]


@dataclass
class LoraReading:
    """A file's tensors under the names that the host reads, and the file's own names for them.

    `pieces` says of names that this pack gave which weight, or rows of one, they stand for: those
    of a layer of the file where the model has several. `fitted` holds what acts, `left` the rest by
    its own name, with the reason.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    pieces: dict[str, str | tuple] = field(default_factory=dict)
    changes: list[LoraChange] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    fitted: set[str] = field(default_factory=set)

    @property
    def fitted_own(self) -> set[str]:
        """The file's own names of what acts."""
        acting = {self.own[name] for name in self.fitted if name in self.own}
        return acting - self.left.keys()  # of a layer in pieces each must act

    def sort(self, check: Callable[[LoraChange], None]) -> None:
        """Take every change that `check` lets pass; it raises Unfit for one that does not fit."""
        for change in self.changes:
            try:
                check(change)
            except Unfit as unfit:
                self.leave(change.names, str(unfit))
            else:
                self.fitted |= change.names

    def leave(self, names: Iterable[str], why: str) -> None:
        """Leave out tensors that the host reads under these names."""
        self.left |= {self.own[name]: why for name in names if name in self.own}


def read_changes(
    state_dict: Mapping[str, Tensor], hosts_keys: KeyMap, model: nn.Module
) -> LoraReading:
    """Return the file's changes of the model that the host's key map `hosts_keys` is of."""
    names = HostNames(hosts_keys)
    reading = _named(state_dict, names, hosts_keys, model)
    keys = {**hosts_keys, **reading.pieces}
    _leave_scaled(reading)
    found: dict[tuple, LoraChange] = {}
    asked = _Asked(reading.tensors)
    named = stems_of(reading.tensors)
    for stem in (stem for stem in keys if stem in named):  # in the host's order: the last counts
        asked.names = set()
        try:
            patches = comfy.lora.load_lora(asked, {stem: keys[stem]}, log_missing=False)
        except KeyError:  # of a pair the host asks for both
            reading.leave(asked.names, NO_HALF)
            continue
        except (RuntimeError, ValueError, IndexError) as error:  # of numbers in no known shape
            reading.leave(asked.names, f"the host cannot read it: {error}")
            continue
        changes = list(_changes(patches, asked))
        if changes:
            acting = frozenset().union(*(one.names for one in changes))
            reading.leave(asked.names - acting, OVERRULED)
            if any(isinstance(one.patch, OFTAdapter) for one in changes):
                reading.leave(asked.names & {f"{stem}.rescale"}, NO_RESCALE)
        for change in changes:
            place = (change.key, change.offset)
            if place in found:
                reading.leave(found[place].names, TWICE)
            found[place] = change
    reading.changes = sorted(found.values(), key=lambda change: (change.key, change.offset or ()))
    read = {name for change in reading.changes for name in change.names}
    for name, own in reading.own.items():
        if name not in read and own not in reading.left:
            reading.left[own] = _why_unread(name, keys, names)
    return reading


def _leave_scaled(reading: LoraReading) -> None:
    """Leave out layers of AdaLoRA: without the scale beside its pair the pair is another change."""
    scaled = {match[1] for match in map(_SCALED.fullmatch, reading.tensors) if match}
    for name in list(reading.tensors) if scaled else ():
        if any(name.startswith(f"{stem}.") for stem in scaled & stems_of([name])):
            del reading.tensors[name]
            reading.leave([name], NO_SCALE)


def _why_unread(name: str, keys: KeyMap, names: HostNames) -> str:
    if not stems_of([name]).isdisjoint(keys):
        return NO_FORM
    return NO_ENCODER if names.is_of_either(name) else NO_LAYER


class _Asked(dict):
    """A file's tensors, and the names of those that were asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        tensor = super().__getitem__(name)
        self.names.add(name)
        return tensor

    def tensor(self, name: str) -> Tensor:
        return super().__getitem__(name)

    def get(self, name: str, default: Tensor | None = None) -> Tensor | None:
        self.names |= {name} & self.keys()
        return super().get(name, default)


def _changes(patches: Mapping, asked: _Asked) -> Iterator[LoraChange]:
    """The host gives one layer's weight and bias a patch each. Where the file holds several changes
    of one weight, its last patch replaces those before, and their tensors are in none.
    """
    for target, patch in patches.items():
        key, offset, function = (target, None, None)
        if not isinstance(target, str):
            key, offset, function = (*target, None)[:3]
        is_adapter = isinstance(patch, WeightAdapterBase)
        held = {id(one) for one in (patch.weights if is_adapter else patch[1])}
        names = {name for name in asked.names if id(asked.tensor(name)) in held}
        if isinstance(patch, OFTAdapter):  # the host reads its scale and does not apply it
            names = {name for name in names if not name.endswith(".rescale")}
        if is_adapter:  # the patch holds their numbers only
            names |= {name for name in asked.names if name.endswith((".alpha", ".reshape_weight"))}
        yield LoraChange(key, offset, function, patch, frozenset(names))


def _named(
    state_dict: Mapping[str, Tensor], names: HostNames, keys: KeyMap, model: nn.Module
) -> LoraReading:
    reading = LoraReading()
    fused: dict[str, _FusedLayer] = {}
    given = dict(state_dict)
    converted = comfy.lora_convert.convert_lora(given)
    own = None if converted is given else {id(one): name for name, one in state_dict.items()}
    for name, tensor in converted.items():
        plain, value = _plain(name, tensor)
        known = names.renamed(plain)
        if not known and (layer := names.fused(plain)):
            if value.ndim == 1 and layer.ending == ".dora_scale":
                value = value[:, None]
            own_name = name if own is None else own[id(tensor)]
            fused.setdefault(layer.stem, _FusedLayer(layer)).add(layer.ending, own_name, value)
            continue
        new = known or name
        if new.endswith(".dora_scale") and value.ndim == 1:
            value = _column(name, value, converted)
        if new in reading.own:
            reading.leave([new], TWICE)
        reading.tensors[new] = value
        if own is None:
            reading.own[new] = name
        elif id(tensor) in own:  # the host may add a tensor of its own
            reading.own[new] = own[id(tensor)]
    for one in fused.values():
        one.take_apart(reading, keys, model)
    return reading


class _FusedLayer:
    """The tensors of a layer of the file that is several of the model."""

    def __init__(self, layer: Fused) -> None:
        self._layer = layer
        self._tensors: dict[str, Tensor] = {}
        self._own: dict[str, str] = {}

    def add(self, ending: str, own: str, tensor: Tensor) -> None:
        self._tensors[ending] = tensor
        self._own[ending] = own

    def take_apart(self, reading: LoraReading, keys: KeyMap, model: nn.Module) -> None:
        """Put the tensors into the reading, as changes of the model's own layers."""
        targets = [keys[name] for name in self._layer.parts]
        try:
            pieces = split_rows(self._tensors, [_rows(model, target) for target in targets])
        except Inseparable as why:
            reading.left |= {own: str(why) for own in self._own.values()}
            return
        for piece in pieces:
            target = targets[piece.part]
            name = f"{self._layer.parts[piece.part]}.rows_{piece.start}"
            if piece.rows != _rows(model, target):
                key, (side, first, _) = (target, (0, 0, 0)) if isinstance(target, str) else target
                target = (key, (side, first + piece.start, piece.rows))
            reading.pieces[name] = target
            for ending, tensor in piece.tensors.items():
                reading.tensors[name + ending] = tensor
                reading.own[name + ending] = self._own[ending]


def _rows(model: nn.Module, target: str | tuple) -> int:
    """Return the count of outputs of a weight, or of the part of it, of the host's key map."""
    if not isinstance(target, str):
        return target[1][2]
    module = comfy.utils.get_attr(model, target.rpartition(".")[0])
    return getattr(module, "out_features", None) or module.weight.shape[0]


def _column(name: str, magnitude: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return DoRA's magnitudes [rows] as the host divides them by a weight's lengths: [rows,1], or
    [rows,1,1,1] beside matrices with a kernel. The host takes a vector for one number a column.
    """
    stem = name.removesuffix("dora_scale")
    sides = max(one.ndim for other, one in tensors.items() if other.startswith(stem))
    return magnitude.reshape(-1, *(1,) * (max(2, sides) - 1))


def _plain(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Return the tensor under the name that the host has for its form."""
    plain = _ADAPTER.sub(r".\1", name)
    for ending, hosts in _ENDINGS:
        if plain.endswith(ending):
            plain = plain.removesuffix(ending) + hosts
            if hosts == ".dora_scale":
                # One number a row, in whatever shape -> rows first: [rows,1] or [rows,1,1,1].
                tensor = tensor.reshape(-1, *(1,) * max(1, tensor.ndim - 1))
            break
    return plain, tensor
