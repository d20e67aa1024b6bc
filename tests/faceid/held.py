"""What this process holds in tensors."""

from __future__ import annotations

import gc

import torch


def held_bytes() -> int:
    """Return the bytes of all tensors that Python can still reach, each storage once, after what is
    unreachable was collected.
    """
    gc.collect()
    storages = {}
    for one in gc.get_objects():
        if type(one) in (torch.Tensor, torch.nn.Parameter) and one.layout == torch.strided:
            storage = one.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
    return sum(storages.values())
