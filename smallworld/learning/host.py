"""The host's modules in this process, on the CPU, and first weights for its bare layers."""

from __future__ import annotations

import importlib
import sys
import warnings

import torch

from ...devtools.environment import current


def open_host() -> None:
    """Let this process import ComfyUI. It reads sys.argv at its first import."""
    sys.path.insert(0, str(current().comfyui))
    arguments, sys.argv = sys.argv, ["main.py", "--cpu", "--use-pytorch-cross-attention"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("comfy.options").enable_args_parsing()
            importlib.import_module("comfy.sample")
    finally:
        sys.argv = arguments
    # The host's own switch: its layers then take the ways that have gradients.
    importlib.import_module("comfy.model_management").in_training = True


def start(module: torch.nn.Module, seed: int, zero: tuple[str, ...] = ()) -> None:
    """Fill all parameters in place, and let them learn; the host makes its layers without values
    and its networks without gradients.

    Matrices and kernels: normal, 1/sqrt(fan in), a tenth of it in the last layer of a residual
    branch; norms 1, biases 0; parameters whose names begin with one of `zero` are 0.
    """
    generator = torch.Generator().manual_seed(seed)
    last = (".out_layers.3.", ".conv2.", ".proj_out.", ".to_out.0.", ".net.2.", ".fc2.", ".wo.")
    module.requires_grad_(True)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(zero):
                parameter.zero_()
            elif parameter.ndim >= 2:
                spread = parameter[0].numel() ** -0.5
                if any(part in f".{name}" for part in last):
                    spread *= 0.1
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
