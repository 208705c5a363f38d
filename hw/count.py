"""Counters that cost as little as they can."""

from amaranth import Mux, Signal, Value


def next_or(count: Signal, load: Value, value: Value) -> Value:
    """What a register holds next that counts up, or takes a value with `load`.

    One lookup table for each bit, where an adder and a choice behind it are two: what is subtracted
    is 0 or -1, so a table needs no more than the bit, the carry, `load` and the bit to be taken.
    """
    width = len(count)
    return Mux(load, value, (count - (~load).replicate(width))[:width])
