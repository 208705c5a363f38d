"""Counters that cost as little as they can."""

from amaranth import Cat, Mux, Signal, Value

CHAIN = 16
"""Bits that are counted in one carry chain. On iCE40 a longer one leaves its column of cells, which
takes as long as two lookup tables."""


def next_or(count: Signal, load: Value, value: Value) -> Value:
    """What a register holds next that counts up, or takes a value with `load`.

    One lookup table for each bit, where an adder and a choice behind it are two: what is subtracted
    is 0 or -1, so a table needs no more than the bit, the carry, `load` and the bit to be taken.
    """
    width = len(count)
    return Mux(load, value, (count - (~load).replicate(width))[:width])


def next_of(count: Signal) -> Value:
    """One more, in chains of `CHAIN` bits that do not wait for each other."""
    parts = [count[i : i + CHAIN] for i in range(0, len(count), CHAIN)]
    return Cat(
        (part + count[: i * CHAIN].all())[: len(part)] if i else (part + 1)[: len(part)]
        for i, part in enumerate(parts)
    )


def one_less_or(count: Signal, step: Value, value: Value) -> Value:
    """What a register holds next that counts down, with `step`, and else takes a value.

    `step` should come early in the cycle; whether the register changes at all may be known late.
    Chains are as those of `next_of`; one adds -1 and that there is something below to take from.
    """
    parts = []
    for i in range(0, len(count), CHAIN):
        part = count[i : i + CHAIN]
        less = step.replicate(len(part))
        if i:
            below = count[:i].any()
            parts.append((Cat(below, part) + Cat(below, less))[1 : len(part) + 1])
        else:
            parts.append((part + less)[: len(part)])
    return Mux(step, Cat(parts), value)
