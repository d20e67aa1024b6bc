"""Whole numbers rounded up, as sizes of latents, tokens and tiles need it."""

from __future__ import annotations


def ceil_div(number: int, divisor: int) -> int:
    """Return number / divisor, rounded up to a whole number; the divisor is positive."""
    return -(-number // divisor)


def round_up(number: int, multiple: int) -> int:
    """Return the least multiple of `multiple` that is not below `number`."""
    return ceil_div(number, multiple) * multiple
