"""What parts of the core should compute, from docs/numerics.md and plain integers."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np


def requantize(
    acc: int, *, multiplier: int, shift: int, zero_point: int, lo: int = -128, hi: int = 127
) -> int:
    """One requantized accumulator; Python rounds fractions half to even, too."""
    moved = zero_point + round(Fraction(acc * multiplier, 1 << shift))
    return min(max(moved, lo), hi)


def products(slices: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """int64 (n, cols): sums of a tile of weights (rows, cols) for slices (n, rows)."""
    return slices.astype(np.int64) @ tile.astype(np.int64)


def difference(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> str:
    """The first byte that differs, layers in the order of the network; nothing if all are equal."""
    if set(found) - set(expected) or not found:
        return f"got layers {list(found)}, expected {list(expected)}"
    for name in [name for name in expected if name in found]:
        got, right = found[name], expected[name]
        if got.shape != right.shape:
            return f"layer {name}: got shape {got.shape}, expected {right.shape}"
        wrong = np.argwhere(got != right)
        if len(wrong):
            image, *position = (int(i) for i in wrong[0])
            where = image, *position
            return (
                f"layer {name}, image {image}, position {tuple(position)}: got {got[where]}, "
                f"expected {right[where]} ({len(wrong)} of {right.size} bytes differ)"
            )
    return ""
