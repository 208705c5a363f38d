"""docs/numerics.md in exact Python integers, and entries of the requantization table."""

from fractions import Fraction

import numpy as np


def requantize(acc, entry):
    """One result: `round` of a Fraction is to the nearest integer, at a tie to the even one."""
    product = Fraction((acc + entry["bias"]) * entry["multiplier"], 1 << entry["shift"])
    return max(entry["lo"], min(entry["hi"], entry["zero_point"] + round(product)))


def entry(multiplier=1, shift=0, bias=0, zero_point=0, lo=-128, hi=127, write=1):
    return {
        "multiplier": multiplier, "shift": shift, "bias": bias, "zero_point": zero_point,
        "lo": lo, "hi": hi, "write": write,
    }  # fmt: skip


def random_entry(rng, multiplier_width, bias_limit, max_shift=47, write=1):
    lo, hi = sorted(rng.integers(-128, 128, 2).tolist()) if rng.random() < 0.3 else (-128, 127)
    return entry(
        int(rng.integers(1, 1 << int(rng.integers(1, multiplier_width + 1)))),
        int(rng.integers(0, max_shift + 1)),
        int(rng.integers(-bias_limit, bias_limit)),
        int(rng.integers(-128, 128)), lo, hi, write,
    )  # fmt: skip


def acc_for(rng, wanted, entry, acc_width):
    """An accumulator whose result, before the zero point and the clamp, is near a number."""
    limit = 1 << (acc_width - 1)
    biased = round(Fraction(int(wanted) << entry["shift"], entry["multiplier"]))
    biased += int(rng.integers(-2, 3))
    biased = max(-limit, min(limit - 1, biased))
    return max(-limit, min(limit - 1, biased - entry["bias"]))


def fits(acc, entry, acc_width):
    """The accumulator with its bias is what the compiler proves to fit."""
    return -(1 << (acc_width - 1)) <= acc + entry["bias"] < 1 << (acc_width - 1)


def words_of(entry):
    """The entry as the three words that the host writes."""
    return np.array(
        [
            entry["bias"] & 0xFFFFFFFF,
            entry["multiplier"] | entry["shift"] << 24,
            entry["zero_point"] & 255 | (entry["lo"] & 255) << 8 | (entry["hi"] & 255) << 16
            | entry["write"] << 24,
        ],
        np.uint32,
    )  # fmt: skip
