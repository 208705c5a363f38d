"""Bench of the requantizer: corners, ties and random values against the formula of the numerics."""

from collections.abc import Iterator

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from hw import isa
from hw.config import Config
from hw.requant import Requant
from sim.bench import models
from sim.bench.run import read_case
from sim.bench.tops import REQUANTS

RANDOM = 6_000

MAX_SHIFT = 47

Entry = dict[str, int]


def cases(cfg: Config, seed: int) -> Iterator[tuple[int, Entry]]:
    """Accumulators with bias, and entries of the table."""
    yield from corners(cfg)
    rng = np.random.default_rng(seed)
    top = 1 << (cfg.acc_width - 1)
    for _ in range(RANDOM):
        shift = int(rng.integers(0, MAX_SHIFT + 1))
        multiplier = int(rng.integers(1, 1 << int(rng.integers(1, cfg.multiplier_width + 1))))
        # Mostly near a result that the clamp leaves alone, where rounding shows.
        near = int(rng.integers(-300, 300)) * (1 << shift) // (2 * multiplier)
        near += int(rng.integers(-2, 3))
        anywhere = int(rng.integers(-top, top))
        acc = near if -top <= near < top and rng.random() < 0.8 else anywhere
        lo, hi = sorted(int(v) for v in rng.integers(-128, 128, 2))
        if rng.random() < 0.6:
            lo, hi = -128, 127
        zero_point = int(rng.integers(-128, 128))
        yield acc, entry(multiplier, shift, zero_point, lo, hi)


def corners(cfg: Config) -> Iterator[tuple[int, Entry]]:
    """The ends of every range, and ties to an even and to an odd number, of both signs."""
    top, largest = 1 << (cfg.acc_width - 1), (1 << cfg.multiplier_width) - 1
    for shift in range(MAX_SHIFT + 1):
        for multiplier in (1, 2, largest // 2 + 1, largest):
            for acc in (-top, 1 - top, -1, 0, 1, top - 1):
                for zero_point in (-128, 127):
                    yield acc, entry(multiplier, shift, zero_point)
        for odd in (-255, -5, -3, -1, 1, 3, 5, 253, 255):
            # odd / 2 as acc * multiplier / 2**shift, with as large a multiplier as there may be.
            spare = min(shift - 1, cfg.multiplier_width - 1) if shift else -1
            acc = odd << max(0, shift - 1 - spare)
            if spare >= 0 and -top < acc < top - 1:
                for near in (acc - 1, acc, acc + 1):
                    yield near, entry(1 << spare, shift)
    for lo, hi in ((-128, -128), (127, 127), (0, 0), (-128, 5), (-7, 127)):
        for acc in (-top, -9, -7, 0, 5, 6, top - 1):
            yield acc, entry(1, 0, 0, lo, hi)


def entry(multiplier: int, shift: int, zero_point: int = 0, lo: int = -128, hi: int = 127) -> Entry:
    """An entry of the table without its bias."""
    names = ("multiplier", "shift", "zero_point", "lo", "hi")
    return dict(zip(names, (multiplier, shift, zero_point, lo, hi), strict=True))


def biases(acc: int, cfg: Config, rng: np.random.Generator) -> tuple[int, int]:
    """An accumulator without its bias, and the bias: any two that both fit."""
    top = 1 << (cfg.acc_width - 1)
    low = max(-(1 << 31), acc - (top - 1))
    high = min((1 << 31) - 1, acc + top)
    chosen = [0, low, high, int(rng.integers(low, high + 1))]
    bias = min(max(chosen[int(rng.integers(0, 4))], low), high)
    return acc - bias, bias


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def results_equal_the_formula(dut) -> None:
    case = read_case()
    name, seed = case["part"], case["seed"]
    cfg = REQUANTS[name]
    rng = np.random.default_rng(seed)
    layout, mask = isa.table_entry(cfg), (1 << cfg.acc_width) - 1
    given = list(cases(cfg, seed))
    inputs = []
    for acc, values in given:
        raw, bias = biases(acc, cfg, rng)
        inputs.append((raw & mask, layout.const({**values, "bias": bias, "write": 1}).as_bits()))

    acc_in, entry_in, out = (getattr(dut, f"{name}__{n}") for n in ("acc", "entry", "o"))
    Clock(dut.clk, 10, "ns").start()
    edge = RisingEdge(dut.clk)
    seen = []
    await edge
    for raw, bits in inputs + inputs[:1] * Requant.LATENCY:
        acc_in.value, entry_in.value = raw, bits
        await edge
        seen.append(out.value.to_signed())
    for (acc, values), got in zip(given, seen[Requant.LATENCY :], strict=True):
        expected = models.requantize(acc, **values)
        assert got == expected, f"{name}: acc {acc}, {values}: got {got}, not {expected}"
    dut._log.info(f"{len(given)} results are equal")
