"""hw/count.py"""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.count import CHAIN, next_of, next_or, one_less_or
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


@pytest.mark.parametrize("width", [1, 2, 5, 12, 32, 40])
def test_a_counter_counts_down_with_a_borrow_through_all_bits_or_takes_a_value(width):
    rng = np.random.default_rng(width)
    cycles = 300
    loads = (rng.random(cycles) < 0.2).astype(int).tolist()
    # The end of each chain is met: it begins again, and takes from the one above.
    near = rng.integers(0, 9, cycles) << rng.choice([0, CHAIN], cycles)
    values = ((near + rng.integers(0, 2, cycles)) % (1 << width)).tolist()
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


class More(wiring.Component):
    """One more than `count`."""

    count: Signal
    more: Signal

    def __init__(self, width: int) -> None:
        super().__init__({"count": In(width), "more": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.more.eq(next_of(self.count))
        return m


@pytest.mark.parametrize("width", [1, 5, CHAIN, CHAIN + 1, 32, 40])
def test_one_more_is_carried_through_all_chains(width):
    ends = [(1 << bits) - near for bits in range(width + 1) for near in (0, 1, 2)]
    values = sorted({value % (1 << width) for value in ends})

    dut = More(width)
    seen = play(dut, [(dut.count, values)], [dut.more], len(values))
    assert [got for (got,) in seen] == [(value + 1) % (1 << width) for value in values]
