"""hw/requant.py"""

import numpy as np
import pytest

from hw import isa
from hw.config import Config
from hw.requant import Requant
from tests.hw.numerics import acc_for, entry, fits, random_entry, requantize, words_of
from tests.hw.simulation import play

WIDTHS = [
    Config(rows=1, acc_width=16, multiplier_width=8),
    Config(rows=1, acc_width=17, multiplier_width=16),
    Config(acc_width=32, multiplier_width=16),
    Config(acc_width=40, multiplier_width=24),
]
widths = pytest.mark.parametrize("cfg", WIDTHS, ids=lambda c: f"{c.acc_width}x{c.multiplier_width}")


def check(cfg, cases):
    """Streams (acc, entry), one a cycle."""
    cases = [(acc, e) for acc, e in cases if fits(acc, e, cfg.acc_width)]
    dut = Requant(cfg)
    entries = [sum(int(w) << 32 * i for i, w in enumerate(words_of(e))) for _, e in cases]
    inputs = [(dut.acc, [acc for acc, _ in cases]), (dut.entry.as_value(), entries)]
    seen = play(dut, inputs, [dut.o], len(cases) + Requant.LATENCY)[Requant.LATENCY :]
    for (got,), (acc, e) in zip(seen, cases, strict=True):
        assert got == requantize(acc, e), f"acc={acc}, {e}"


def test_the_entry_is_laid_out_as_the_host_writes_it():
    e = entry(0xABCD, 47, -(1 << 31), -128, -77, 126, 1)
    bits = isa.table_entry(Config()).const({**e}).as_bits()
    assert [bits >> 32 * i & 0xFFFFFFFF for i in range(3)] == words_of(e).tolist()


def test_a_result_comes_latency_cycles_after_its_value_and_not_a_cycle_earlier():
    dut = Requant(Config())
    inputs = [(dut.acc, [0, 50, 0]), (dut.entry, [entry()] * 3)]
    seen = [o for (o,) in play(dut, inputs, [dut.o], Requant.LATENCY + 3)]
    assert seen[Requant.LATENCY :] == [0, 50, 0]
    assert Requant.LATENCY == 10


@widths
def test_every_shift_rounds_ties_to_even_on_both_sides_of_zero(cfg):
    cases, ties = [], set()
    for shift in range(48):
        for at in range(min(shift, cfg.multiplier_width)):
            # acc * 2**at / 2**shift is an odd number of halves.
            unit = 1 << (shift - 1 - at)
            for odd in (-9, -7, -5, -3, -1, 1, 3, 5, 7, 9):
                e = entry(1 << at, shift)
                cases += [(odd * unit + near, e) for near in (-1, 0, 1)]
                if fits(odd * unit, e, cfg.acc_width):
                    ties.add(shift)
    check(cfg, cases)
    assert ties == set(range(1, min(48, cfg.acc_width + cfg.multiplier_width)))


@widths
def test_every_shift_of_extreme_accumulators_and_multipliers(cfg):
    top = 1 << (cfg.acc_width - 1)
    accs = [
        -top,
        -top + 1,
        -1,
        0,
        1,
        top - 1,
        *(s << 15 for s in (-1, 1)),
        *(s << 16 for s in (-1, 1)),
    ]
    multipliers = [1, (1 << cfg.multiplier_width) - 1, 1 << (cfg.multiplier_width - 1)]
    check(cfg, [(a, entry(m, s)) for s in range(48) for a in accs for m in multipliers])


@pytest.mark.parametrize("zero_point", [-128, -1, 0, 127])
@pytest.mark.parametrize(("lo", "hi"), [(-128, 127), (0, 127), (-128, -128), (127, 127), (-20, 30)])
def test_clamps_behind_the_zero_point_wherever_saturation_begins(zero_point, lo, hi):
    borders = {
        b + d
        for b in (lo - zero_point, hi - zero_point, -256, 255, -512, 511, 512, 1023, 1024, 2048)
        for d in range(-3, 4)
    }
    halves = [(2 * b + h, 1) for b in sorted(borders) for h in (0, 1)]
    cases = [(a, entry(1, s, 0, zero_point, lo, hi)) for a, s in halves]
    check(Config(), cases)


@widths
def test_bias_is_added_before_the_product(cfg):
    top = 1 << (cfg.acc_width - 1)
    big = min(top, 1 << 31)
    pairs = [(big - 1 - 5, -big), (-big, big - 1), (100, -90), (-100, 90), (0, -big), (0, big - 1)]
    check(cfg, [(a, entry(1, s, b)) for a, b in pairs for s in (0, 1, 20)])


@widths
def test_random_values_stream_one_a_cycle(cfg):
    rng = np.random.default_rng(seed=cfg.acc_width)
    bias_limit = 1 << min(31, cfg.acc_width - 2)
    cases = []
    while len(cases) < 5_000:
        e = random_entry(rng, cfg.multiplier_width, bias_limit)
        if rng.random() < 0.7:
            acc = acc_for(rng, rng.integers(-300, 300), e, cfg.acc_width)
        else:
            acc = int(rng.integers(-(1 << (cfg.acc_width - 1)), 1 << (cfg.acc_width - 1)))
        if fits(acc, e, cfg.acc_width):
            cases.append((acc, e))
    check(cfg, cases)
