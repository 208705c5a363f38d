"""hw/serial_requant.py"""

import numpy as np
import pytest

from hw.config import Config
from hw.serial_requant import SerialRequant
from tests.hw.numerics import acc_for, entry, fits, random_entry, requantize, words_of
from tests.hw.simulation import play

WIDTHS = [
    Config(rows=1, acc_width=16, multiplier_width=8, serial_requant=1),
    Config(rows=1, acc_width=17, multiplier_width=15, serial_requant=1),
    Config(rows=1, acc_width=24, multiplier_width=16, serial_requant=1),
    Config(acc_width=33, multiplier_width=23, serial_requant=1),
    Config(acc_width=40, multiplier_width=24, serial_requant=1),
]
widths = pytest.mark.parametrize("cfg", WIDTHS, ids=lambda c: f"{c.acc_width}x{c.multiplier_width}")
SHIFTS = range(64)


def check(cfg, cases):
    """One behind the other, each as early as it may; what is not looked at is wrong."""
    cases = [(acc, e) for acc, e in cases if fits(acc, e, cfg.acc_width)]
    assert cases
    dut = SerialRequant(cfg)
    period = cfg.requant_cycles
    accs, entries = [], []
    for acc, e in cases:
        bits = sum(int(w) << 32 * i for i, w in enumerate(words_of(e)))
        accs += [acc] + [~acc] * (period - 1)
        entries += [bits] * period
    inputs = [
        (dut.start, ([1] + [0] * (period - 1)) * len(cases)),
        (dut.acc, accs),
        (dut.entry.as_value(), entries),
    ]
    seen = play(dut, inputs, [dut.o, dut.ending, dut.ahead], (len(cases) + 1) * period)
    for i, (acc, e) in enumerate(cases, 1):
        assert seen[i * period][0] == requantize(acc, e), f"acc={acc}, {e}"
    for name, before in (1, 1), (2, SerialRequant.AHEAD):
        cycles = [t for t, values in enumerate(seen) if values[name]]
        assert cycles == [i * period - before for i in range(1, len(cases) + 1)]


@widths
def test_every_shift_rounds_ties_to_even_on_both_sides_of_zero(cfg):
    cases, ties = [], set()
    for shift in SHIFTS:
        # acc * 2**at / 2**shift is an odd number of halves.
        at = min(max(shift - 1, 0), cfg.multiplier_width - 1)
        unit = 1 << max(0, shift - 1 - at)
        for odd in (-7, -5, -3, -1, 1, 3, 5, 7):
            e = entry(1 << at, shift)
            cases += [(odd * unit + near, e) for near in (-1, 0, 1)]
            if shift and fits(odd * unit, e, cfg.acc_width):
                ties.add(shift)
    check(cfg, cases)
    assert ties == set(range(1, min(64, cfg.acc_width + cfg.multiplier_width)))


@widths
def test_every_shift_of_extreme_accumulators_and_multipliers(cfg):
    top = 1 << (cfg.acc_width - 1)
    largest = (1 << cfg.multiplier_width) - 1
    accs = [-top, 1 - top, -1, 0, 1, top - 1]
    check(cfg, [(a, entry(m, s)) for s in SHIFTS for a in accs for m in (1, largest, largest // 3)])


@widths
def test_every_shift_at_the_ends_of_what_is_not_clamped(cfg):
    multiplier = (1 << cfg.multiplier_width) - 1
    cases = []
    for shift in SHIFTS:
        for result in (-257, -256, -255, -129, -128, 127, 128, 255, 256):
            acc = (result << shift) // multiplier
            e = entry(multiplier, shift, 0, 100 if result < 0 else -100)
            cases += [(acc + near, e) for near in (0, 1)]
    check(cfg, cases)


@pytest.mark.parametrize("zero_point", [-128, -1, 0, 127])
@pytest.mark.parametrize(("lo", "hi"), [(-128, 127), (0, 127), (-128, -128), (127, 127), (-20, 30)])
def test_clamps_behind_the_zero_point_wherever_saturation_begins(zero_point, lo, hi):
    borders = {
        b + d
        for b in (lo - zero_point, hi - zero_point, -256, 255, 512, 1023)
        for d in range(-2, 3)
    }
    halves = [(2 * b + h, 1) for b in sorted(borders) for h in (0, 1)]
    check(WIDTHS[2], [(a, entry(1, s, 0, zero_point, lo, hi)) for a, s in halves])


@widths
def test_bias_is_added_before_the_product(cfg):
    top = 1 << (cfg.acc_width - 1)
    big = min(top, 1 << 31)
    pairs = [(big - 1 - 5, -big), (-big, big - 1), (100, -90), (-100, 90), (0, -big), (0, big - 1)]
    check(cfg, [(a, entry(1, s, b)) for a, b in pairs for s in (0, 1, 20)])


@widths
def test_random_values_as_fast_as_they_may_come(cfg):
    rng = np.random.default_rng(seed=cfg.acc_width)
    bias_limit = 1 << min(31, cfg.acc_width - 2)
    cases = []
    while len(cases) < 1_000:
        e = random_entry(rng, cfg.multiplier_width, bias_limit, max_shift=63)
        if rng.random() < 0.7:
            acc = acc_for(rng, rng.integers(-300, 300), e, cfg.acc_width)
        else:
            acc = int(rng.integers(-(1 << (cfg.acc_width - 1)), 1 << (cfg.acc_width - 1)))
        if fits(acc, e, cfg.acc_width):
            cases.append((acc, e))
    check(cfg, cases)


@pytest.mark.parametrize(("bits", "cycles"), [(8, 12), (15, 15), (16, 16), (17, 16), (24, 20)])
def test_two_bits_of_the_multiplier_a_cycle_and_seven_cycles_around_them(bits, cycles):
    assert Config(multiplier_width=bits, serial_requant=1).requant_cycles == cycles
    assert Config(multiplier_width=bits).requant_cycles == 1


def test_a_pause_between_two_values_changes_nothing():
    cfg = WIDTHS[2]
    dut = SerialRequant(cfg)
    period = cfg.requant_cycles
    starts = [0, period + 1, 2 * period + 30]
    length = starts[-1] + period + 1
    inputs = [
        (dut.start, [int(t in starts) for t in range(length)]),
        (dut.acc, [10 * (t + 1) for t in range(length)]),
        (dut.entry, [entry(3, 3, 7)] * length),
    ]
    seen = play(dut, inputs, [dut.o, dut.ending], length)
    assert [seen[t + period][0] for t in starts] == [
        requantize(10 * (t + 1), entry(3, 3, 7)) for t in starts
    ]
    assert [t + 1 for t, (_, ending) in enumerate(seen) if ending] == [s + period for s in starts]
