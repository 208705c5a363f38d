"""hw/count.py"""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.count import next_or, one_less_or
from tests.hw.simulation import play


class Counter(wiring.Component):
    """A register that always changes."""

    load: Signal
    value: Signal
    count: Signal

    def __init__(self, width: int, *, down: bool = False) -> None:
        self.down = down
        super().__init__({"load": In(1), "value": In(width), "count": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.down:
            m.d.sync += self.count.eq(one_less_or(self.count, ~self.load, self.value))
        else:
            m.d.sync += self.count.eq(next_or(self.count, self.load, self.value))
        return m


@pytest.mark.parametrize("width", [1, 2, 5, 12])
def test_a_counter_counts_down_with_a_borrow_through_all_bits_or_takes_a_value(width):
    rng = np.random.default_rng(width)
    cycles = 300
    loads = (rng.random(cycles) < 0.2).astype(int).tolist()
    values = (rng.integers(0, 9, cycles) % (1 << width)).tolist()
    dut = Counter(width, down=True)
    seen = play(dut, [(dut.load, loads), (dut.value, values)], [dut.count], cycles)
    count = 0
    for (got,), load, value in zip(seen, loads, values, strict=True):
        assert got == count
        count = value if load else (count - 1) % (1 << width)


@pytest.mark.parametrize("width", [1, 2, 5, 12])
def test_a_counter_counts_up_with_a_carry_through_all_bits_or_takes_a_value(width):
    rng = np.random.default_rng(width)
    cycles = 300
    loads = (rng.random(cycles) < 0.2).astype(int).tolist()
    # Values near the end, where it begins again.
    values = ((1 << width) - rng.integers(1, 9, cycles)) % (1 << width)
    dut = Counter(width)
    seen = play(dut, [(dut.load, loads), (dut.value, values.tolist())], [dut.count], cycles)
    count = 0
    for (got,), load, value in zip(seen, loads, values.tolist(), strict=True):
        assert got == count
        count = value if load else (count + 1) % (1 << width)
