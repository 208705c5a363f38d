"""Bench of the systolic array: random tiles and slices, passes back-to-back."""

from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from hw.array import Array
from hw.config import Config
from sim.bench import models
from sim.bench.run import read_case
from sim.bench.tops import ARRAYS

CYCLES = 3_000

CORNERS = np.array([-128, -127, -1, 0, 1, 127], np.int8)


@dataclass
class Stimulus:
    """What enters in each cycle, and which sums belong to it."""

    slices: np.ndarray
    """int8 (cycles, rows)."""
    swap: np.ndarray
    """bool (cycles,)."""
    tag: np.ndarray
    """int (cycles,): row of each port's group that is loaded; -1: none."""
    weights: np.ndarray
    """int8 (cycles, ports, cols)."""
    sums: np.ndarray
    """int64 (cycles, cols)."""
    first: int
    """Cycle of the first swap; sums before it mean nothing."""


def stimulus(cfg: Config, seed: int) -> Stimulus:
    """Passes of random length, every other one as short as loading allows; noise in between."""
    rng = np.random.default_rng(seed)
    ports, load = cfg.weight_ports, cfg.load_cycles
    slices = int8s(rng, (CYCLES, cfg.rows))
    # Words that no tag names must not matter.
    weights = rng.integers(-128, 128, (CYCLES + cfg.rows, ports, cfg.cols)).astype(np.int8)
    swap, tag = np.zeros(CYCLES, bool), np.full(CYCLES, -1)
    sums = np.zeros((CYCLES, cfg.cols), np.int64)
    start, tile, first = 0, None, 0
    while start + 4 * load + 8 < CYCLES:
        # The next tile is loaded during the pass of this one, here and there with a gap.
        length = load if rng.random() < 0.5 else load + int(rng.integers(1, 3 * load + 8))
        cycles = np.sort(rng.choice(length, load, replace=False)) + start
        following = int8s(rng, (cfg.rows, cfg.cols))
        for cycle, row in zip(cycles, reversed(range(load)), strict=True):
            tag[cycle] = row
            for port in range(ports):
                if port * load + row < cfg.rows:
                    weights[cycle + port * load, port] = following[port * load + row]
        if tile is not None:
            swap[start] = True
            sums[start : start + length] = models.products(slices[start : start + length], tile)
        else:
            first = start + length
        start, tile = start + length, following
    return Stimulus(slices[:start], swap[:start], tag[:start], weights[:start], sums[:start], first)


def int8s(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Corners or anything, drawn for each row of values."""
    values = rng.integers(-128, 128, shape).astype(np.int8)
    corners = rng.choice(CORNERS, shape)
    extreme = np.full(shape, -128, np.int8)
    kind = rng.random((*shape[:-1], 1))
    return np.where(kind < 0.2, corners, np.where(kind < 0.3, extreme, values))


def packed(values: np.ndarray) -> list[int]:
    """Each row of int8 values as one number, the first value lowest."""
    return [int.from_bytes(row.tobytes(), "little") for row in values]


@cocotb.test(timeout_time=CYCLES * 20, timeout_unit="ns")
async def sums_equal_a_numpy_product(dut) -> None:
    case = read_case()
    name, seed = case["part"], case["seed"]
    cfg = ARRAYS[name]
    given = stimulus(cfg, seed)
    ports = [getattr(dut, f"{name}__w__{p}") for p in range(cfg.weight_ports)]
    a, swap, tag, out = (getattr(dut, f"{name}__{n}") for n in ("a", "swap", "tag", "sums"))
    slices, words = packed(given.slices), [packed(given.weights[:, p]) for p in range(len(ports))]
    tags = [0 if row < 0 else 1 | int(row) << 1 for row in given.tag]

    Clock(dut.clk, 10, "ns").start()
    edge = RisingEdge(dut.clk)
    seen = []
    await edge
    for cycle in range(len(slices)):
        a.value, swap.value, tag.value = slices[cycle], int(given.swap[cycle]), tags[cycle]
        for p, port in enumerate(ports):
            port.value = words[p][cycle]
        await edge
        # The values of the cycle that this edge ends.
        seen.append(int(out.value))
    got = unpacked(seen, cfg)
    latency = Array.latency(cfg)
    checked = 0
    for c in range(cfg.cols):
        late = latency + c
        column, right = got[given.first + late :, c], given.sums[given.first : -late, c]
        wrong = np.flatnonzero(column != right)
        assert not len(wrong), (
            f"{name} seed {seed}: cycle {wrong[0] + given.first}, column {c}: got "
            f"{column[wrong[0]]}, expected {right[wrong[0]]}"
        )
        checked += len(right)
    assert checked > CYCLES * cfg.cols // 2, f"only {checked} sums were compared"
    dut._log.info(f"{checked} sums of {int(given.swap.sum())} passes are equal")


def unpacked(values: list[int], cfg: Config) -> np.ndarray:
    """int64 (n, cols) from packed sums."""
    width = cfg.sum_width
    mask = (1 << width) - 1
    raw = np.array([[v >> width * c & mask for c in range(cfg.cols)] for v in values], np.int64)
    return raw - ((raw >> (width - 1)) << width)
