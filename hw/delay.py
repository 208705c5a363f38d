"""Registers in a row."""

from amaranth import Module, Signal
from amaranth.lib import data


def delayed(m: Module, name: str, value, cycles: int):
    """The value of so many cycles before; a view stays one. Registers start, and reset, at 0."""
    shape = value.shape() if isinstance(value, data.View) else len(value)
    for i in range(cycles):
        later = Signal(shape, name=f"{name}_{i}")
        m.d.sync += later.eq(value)
        value = later
    return value
