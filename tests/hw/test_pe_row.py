"""hw/pe_row.py"""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw import layouts
from hw.config import Config
from hw.pe_row import PERow
from tests.hw.simulation import play


def run(cfg, cycles, a=(), swap=(), load=(), w_i=(), p_i=()):
    """Sums and shadows of one row, cycle by cycle."""
    dut = PERow(cfg)
    inputs = [(dut.a, a), (dut.swap, swap), (dut.load, load), (dut.w_i, w_i), (dut.p_i, p_i)]
    return play(dut, inputs, [dut.p_o, dut.w_o], cycles)


@pytest.mark.parametrize("registers", [1, 2, 3], ids="registers={}".format)
@pytest.mark.parametrize("cols", [1, 2, 5], ids="cols={}".format)
@pytest.mark.parametrize(("a", "w"), [(-128, -127), (-128, -128), (127, -128), (0, -128)])
def test_column_c_multiplies_after_latency_plus_c_cycles(cols, registers, a, w):
    cfg = Config(rows=1, cols=cols, product_registers=registers)
    assert PERow.latency(cfg) == 2 + registers
    start = 2 * cols
    seen = run(
        cfg, start + cols + 6,
        a=[0] * start + [a], load=[1], swap=[0, 1],
        w_i=[[w] * cols] * cols,
    )  # fmt: skip
    for c in range(cols):
        t = start + PERow.latency(cfg) + c
        around = [sums[c] for sums, _ in seen[t - 1 : t + 2]]
        assert around == [0, a * w, 0], f"column {c}"


def test_sums_add_to_those_of_the_row_above_a_cycle_later():
    top = [-(1 << 22), (1 << 22) - 1]
    seen = run(Config(rows=200 - 72, cols=2), 2, p_i=[top])
    assert seen[1][0] == top


def test_swap_takes_weights_for_the_activation_that_it_comes_with():
    cfg = Config(rows=1, cols=3)
    # Weights 5 and 7 are loaded before the swaps of cycles 4 and 8.
    seen = run(
        cfg, 20, a=[0, 0, 0, 1, 2, 3, 4, 5, 6], swap=[0, 0, 0, 0, 1, 0, 0, 0, 1],
        load=[1, 0, 0, 0, 1], w_i=[[5] * 3] * 3 + [[0] * 3] + [[7] * 3] * 3,
    )  # fmt: skip
    for c in range(3):
        sums = [seen[t + PERow.latency(cfg) + c][0][c] for t in range(4, 9)]
        assert sums == [10, 15, 20, 25, 42], f"column {c}"


def test_load_moves_one_column_a_cycle():
    seen = run(Config(rows=1, cols=3), 5, load=[1], w_i=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert [shadow for _, shadow in seen[1:]] == [[1, 0, 0], [1, 5, 0], [1, 5, 9], [1, 5, 9]]


class Chain(wiring.Component):
    """Two rows as the array joins them."""

    def __init__(self, cfg):
        self.cfg = cfg
        super().__init__(
            {
                "load": In(2),
                "w_i": In(layouts.weights(cfg)),
                "shadows": Out(layouts.weights(cfg)).array(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        w = self.w_i
        for r in range(2):
            m.submodules[f"row_{r}"] = row = PERow(self.cfg)
            m.d.comb += [row.w_i.eq(w), row.load.eq(self.load[r]), self.shadows[r].eq(row.w_o)]
            w = row.w_o
        return m


def test_weights_reach_the_row_below_through_the_shadow_of_the_row_above():
    dut = Chain(Config(rows=2, cols=1))
    # 11 is for the lower row, which is one cycle later; 22 for the upper one alone.
    inputs = [(dut.load, [0b01, 0b11, 0b00]), (dut.w_i, [[11], [22], [33]])]
    seen = play(dut, inputs, list(dut.shadows), 5)
    assert seen[2:] == [([22], [11])] * 3


@pytest.mark.parametrize("registers", [1, 2, 3], ids="registers={}".format)
@pytest.mark.parametrize("cols", [1, 2, 5, 6], ids="cols={}".format)
def test_random_loads_swaps_and_sums(cols, registers):
    cfg = Config(rows=16, cols=cols, product_registers=registers)
    rng = np.random.default_rng(seed=10 * cols + registers)
    cycles = 120
    a = rng.integers(-128, 128, cycles).tolist()
    swap, load = (rng.random((2, cycles)) < 0.4).astype(int).tolist()
    w_i = rng.integers(-128, 128, (cycles, cols)).tolist()
    p_i = rng.integers(-(1 << 17), 1 << 17, (cycles, cols)).tolist()
    swap[0], load[0] = 0, 1
    seen = run(cfg, cycles, a, swap, load, w_i, p_i)

    latency = PERow.latency(cfg)
    for c in range(cols):
        shadow, weight = None, None
        for t in range(cycles - latency - c):
            if swap[t]:
                weight = shadow
            if load[t]:
                shadow = w_i[t + c][c]
            arrival = t + c + latency
            if weight is not None:
                expected = p_i[arrival - 1][c] + a[t] * weight
                assert seen[arrival][0][c] == expected, f"column {c}, cycle {t}"
