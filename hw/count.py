"""Counters that cost as little as they can."""

from amaranth import Mux, Signal, Value


def next_or(count: Signal, load: Value, value: Value) -> Value:
    """What a register holds next that counts up, or takes a value with `load`.

    One lookup table for each bit, where an adder and a choice behind it are two: what is subtracted
    is 0 or -1, so a table needs no more than the bit, the carry, `load` and the bit to be taken.
    """
    width = len(count)
    return Mux(load, value, (count - (~load).replicate(width))[:width])


def one_less_or(count: Signal, step: Value, value: Value) -> Value:
    """The same of one that counts down, with `step`, and else takes a value.

    `step` should come early in the cycle; whether the register changes at all may be known late.
    """
    width = len(count)
    return Mux(step, (count + step.replicate(width))[:width], value)
