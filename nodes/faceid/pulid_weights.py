"""Weights of PuLID's files, held against the layout that their networks have.

Which keys and shapes are missing, wrong or too many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import FaceIDError

SHOWN = 3  # keys that an error names of each kind


@dataclass(frozen=True)
class NetworkWeights:
    """Tensors of one network, as a file holds them.

    `title` and `path` are what errors call it; `prefix` was taken off the keys.
    """

    tensors: Mapping[str, Tensor]
    title: str
    path: str
    prefix: str = ""

    def below(self, prefix: str) -> NetworkWeights:
        """Return the tensors whose keys start with `prefix`, without it."""
        found = {
            key.removeprefix(prefix): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(prefix)
        }
        return NetworkWeights(found, self.title, self.path, self.prefix + prefix)

    def excluding(self, *prefixes: str) -> NetworkWeights:
        """Return the tensors whose keys start with none of `prefixes`: parts of a file that its
        network does not need.
        """
        return NetworkWeights(
            {key: tensor for key, tensor in self.tensors.items() if not key.startswith(prefixes)},
            self.title,
            self.path,
            self.prefix,
        )

    def size(self, key: str, dimension: int) -> int:
        """Return one size of a tensor, from which others follow.

        Raises: FaceIDError where it is not there.
        """
        if key not in self.tensors:
            self.fail([f"missing: {self.prefix}{key}"])
        shape = self.tensors[key].shape
        if len(shape) <= dimension:
            self.fail(
                [
                    f"{self.prefix}{key} is {list(shape)}, expected at least {dimension + 1}"
                    " dimensions"
                ]
            )
        return shape[dimension]

    def numbered(self, prefix: str) -> int:
        """Return the number of layers behind `prefix`: one more than the highest number."""
        numbers = [
            key.removeprefix(prefix).split(".")[0] for key in self.tensors if key.startswith(prefix)
        ]
        return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1

    def fail(self, faults: Collection[str]) -> None:
        """Raise: FaceIDError with these faults of the file."""
        message = (
            f"The file {self.path} is not {self.title} as published, or it is damaged:"
            f" {'; '.join(faults)}."
        )
        raise FaceIDError(
            message,
            code="pulid-file",
            hint="Download the file again from its publisher, and compare its size.",
        )


def network_of(
    make: Callable[[Any], nn.Module], weights: NetworkWeights, operations: Any = nn
) -> nn.Module:
    """Return the network that `make(operations)` builds, with these weights in their own dtype, not
    copied.

    `operations` is a namespace with the layer classes of torch.nn, such as one of the host's, whose
    layers cast and offload their weights.
    Raises: FaceIDError naming what is missing, of another shape, or of no use to this network.
    """
    with torch.device("meta"):
        layout = {key: list(tensor.shape) for key, tensor in make(nn).state_dict().items()}
        network = make(operations)
    # Only training reads them.
    counters = {key for key in layout if key.endswith("num_batches_tracked")}
    given = weights.tensors
    missing = [weights.prefix + key for key in layout if key not in given and key not in counters]
    wrong = [
        f"{weights.prefix}{key} is {list(given[key].shape)}, expected {shape}"
        for key, shape in layout.items()
        if key in given and list(given[key].shape) != shape
    ]
    unknown = [weights.prefix + key for key in given if key not in layout]
    faults = [
        *_listed("missing", missing),
        *_listed("of another shape", wrong),
        *_listed("unknown", unknown),
    ]
    if faults:
        weights.fail(faults)
    network.load_state_dict(
        {**{key: torch.zeros((), dtype=torch.long) for key in counters}, **given}, assign=True
    )
    return network.eval().requires_grad_(False)


def _listed(kind: str, keys: list[str]) -> list[str]:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return [f"{kind}: {', '.join(keys[:SHOWN])}{more}"] if keys else []
