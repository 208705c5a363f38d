"""Registers in a row."""

from typing import TypeVar, cast

from amaranth import Module, Signal
from amaranth.lib import data

Delayed = TypeVar("Delayed")
"""A value, or a view of one."""


def delayed(m: Module, name: str, value: Delayed, cycles: int) -> Delayed:
    """The value of so many cycles before; a view stays one. Registers start, and reset, at 0."""
    now = cast("data.View | Signal", value)
    shape = now.shape() if isinstance(now, data.View) else len(now)
    for i in range(cycles):
        later = Signal(shape, name=f"{name}_{i}")
        m.d.sync += later.eq(now)
        now = later
    return cast("Delayed", now)
