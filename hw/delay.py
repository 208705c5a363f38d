"""Registers in a row."""

from typing import TypeVar, cast

from amaranth import Module, Signal
from amaranth.lib import data

Delayed = TypeVar("Delayed")
"""A value, or a view of one."""


def delayed(
    m: Module, name: str, value: Delayed, cycles: int, *, resets: bool = True
) -> Delayed:  # fmt: skip
    """The value of so many cycles before; a view stays one.

    Registers start at 0. A reset makes them 0 again if it `resets` what decides something; of a
    view with a field `valid` it is only that, because the wires of a reset go all over a part.
    """
    now = cast("data.View | Signal", value)
    shape = now.shape() if isinstance(now, data.View) else len(now)
    decides = isinstance(now, data.View) and "valid" in now.shape().members
    for i in range(cycles):
        later = Signal(shape, name=f"{name}_{i}", reset_less=decides or not resets)
        m.d.sync += later.eq(now)
        if decides:
            valid = Signal(name=f"{name}_{i}_valid")
            m.d.sync += valid.eq(now.valid)
            kept, later = later, Signal(shape, name=f"{name}_{i}_known")
            m.d.comb += [later.eq(kept), later.valid.eq(valid)]
        now = later
    return cast("Delayed", now)
