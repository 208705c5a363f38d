"""Multiplication by a constant."""

from amaranth import Const, Value


def times(value: Value, count: int) -> Value:
    """``value * count`` as a sum of shifts: synthesis would spend a multiplier block, and on ECP5
    half of a cycle."""
    return sum((value << i for i in range(count.bit_length()) if count >> i & 1), Const(0, 1))
