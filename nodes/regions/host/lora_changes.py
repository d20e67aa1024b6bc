"""What a LoRA file changes in a model, read by the host's own rules, with the names of the tensors
behind each change.

Files under names that the host does not know for a layer that it has are read under the name that
it knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import comfy.lora
import comfy.lora_convert
from comfy.weight_adapter import WeightAdapterBase
from torch import Tensor

# Of the host's key map: puts the rows of a change in the order of its weight.
Function = Callable[[Tensor], Tensor]
# Of the host's key map: the dimension, the first row and the count of rows of a part of a weight.
Offset = tuple[int, int, int]
# Of the host: a file's name of a layer -> a weight, or a part of one.
KeyMap = Mapping[str, str | tuple]

NO_LAYER = "no such layer in this model"
NO_FORM = "a form that is not read"
NO_HALF = "the other half of the pair is missing"
TWICE = "another tensor of the file changes the same weight"

# PEFT wraps a model before it saves its names, diffusers and trainers put the part in front.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))base_model\.model\.")
_PARTS = ("model.diffusion_model.", "diffusion_model.", "unet.", "transformer.", "model.", "")
# PEFT's name of an adapter among several, and how it writes what others call diff_b and dora_scale.
_ADAPTER = re.compile(r"\.(lora_(?:A|B|magnitude_vector))\.(?!weight$|bias$)\w+(?=\.|$)")
_ENDINGS = (
    (".lora_B.bias", ".diff_b"),
    (".lora_magnitude_vector.weight", ".dora_scale"),
    (".lora_magnitude_vector", ".dora_scale"),
)
_PROCESSOR = re.compile(r"\.processor\.(?=to_)")


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

    `fitted` holds what acts, `left` the rest by its own name, with the reason.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    changes: list[LoraChange] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    fitted: set[str] = field(default_factory=set)

    @property
    def fitted_own(self) -> set[str]:
        """The file's own names of what acts."""
        return {self.own[name] for name in self.fitted if name in self.own}

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


def read_changes(state_dict: Mapping[str, Tensor], keys: KeyMap) -> LoraReading:
    """Return what the file changes in the model that the host's key map `keys` is of."""
    reading = _named(state_dict, keys)
    found: dict[tuple, LoraChange] = {}
    asked = _Asked(reading.tensors)
    named = _stems(reading.tensors)
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
        for change in _changes(patches, asked.names):
            place = (change.key, change.offset)
            if place in found:
                reading.leave(found[place].names, TWICE)
            found[place] = change
    reading.changes = sorted(found.values(), key=lambda change: (change.key, change.offset or ()))
    read = {name for change in reading.changes for name in change.names}
    for name, own in reading.own.items():
        if name not in read and own not in reading.left:
            known = any(stem in keys for stem in _stems({name: None}))
            reading.left[own] = NO_FORM if known else NO_LAYER
    return reading


class _Asked(dict):
    """A file's tensors, and the names of those that were asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        tensor = super().__getitem__(name)
        self.names.add(name)
        return tensor

    def get(self, name: str, default: Tensor | None = None) -> Tensor | None:
        self.names |= {name} & self.keys()
        return super().get(name, default)


def _changes(patches: Mapping, names: set[str]) -> Iterator[LoraChange]:
    """The host gives one layer's weight and bias a patch each."""
    biases = frozenset(name for name in names if name.endswith((".diff_b", ".b_norm")))
    for target, patch in patches.items():
        key, offset, function = (target, None, None)
        if not isinstance(target, str):
            key, offset, function = (*target, None)[:3]
        is_bias = key.endswith(".bias") and bool(biases)
        yield LoraChange(
            key, offset, function, patch, biases if is_bias else frozenset(names) - biases
        )


def _stems(tensors: Mapping[str, object]) -> set[str]:
    """Return what may be the name of a layer in the names of its tensors."""
    found = set()
    for name in tensors:
        found |= {name[: match.start()] for match in re.finditer(r"\.|_lora\.", name)}
    return found


def _named(state_dict: Mapping[str, Tensor], keys: KeyMap) -> LoraReading:
    reading = LoraReading()
    given = dict(state_dict)
    converted = comfy.lora_convert.convert_lora(given)
    own = None if converted is given else {id(one): name for name, one in state_dict.items()}
    for name, tensor in converted.items():
        new, value = _renamed(name, tensor, keys)
        if new.endswith(".dora_scale") and value.ndim == 1:
            value = _column(name, value, converted)
        reading.tensors[new] = value
        if own is None:
            reading.own[new] = name
        elif id(tensor) in own:  # the host may add a tensor of its own
            reading.own[new] = own[id(tensor)]
    return reading


def _column(name: str, magnitude: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return DoRA's magnitudes [rows] as the host divides them by a weight's lengths: [rows,1], or
    [rows,1,1,1] beside matrices with a kernel. The host takes a vector for one number a column.
    """
    stem = name.removesuffix("dora_scale")
    sides = max(one.ndim for other, one in tensors.items() if other.startswith(stem))
    return magnitude.reshape(-1, *(1,) * (max(2, sides) - 1))


def _renamed(name: str, tensor: Tensor, keys: KeyMap) -> tuple[str, Tensor]:
    """Return the tensor under the host's name for its layer, as it stands where the host knows it
    by its own, or not at all.
    """
    plain = _ADAPTER.sub(r".\1", name)
    for ending, hosts in _ENDINGS:
        if plain.endswith(ending):
            plain = plain.removesuffix(ending) + hosts
            if hosts == ".dora_scale":
                # One number a row, in whatever shape -> rows first: [rows,1] or [rows,1,1,1].
                tensor = tensor.reshape(-1, *(1,) * max(1, tensor.ndim - 1))
            break
    stems = sorted(_stems({plain: None}), key=len, reverse=True)
    if any(stem in keys for stem in stems):
        return plain, tensor
    for stem in stems:
        for known in _candidates(stem):
            if known in keys:
                return known + plain[len(stem) :], tensor
    return name, tensor


def _candidates(stem: str) -> Iterator[str]:
    """Yield the names under which the host may know the layer."""
    bare = _PROCESSOR.sub(".", _WRAPPERS.sub("", stem))
    yield bare
    for part in _PARTS:
        if bare.startswith(part):
            bare = _WRAPPERS.sub("", bare.removeprefix(part))
            break
    yield f"diffusion_model.{bare}"
    yield f"transformer.{bare}"
    yield f"lora_unet_{bare.replace('.', '_')}"
