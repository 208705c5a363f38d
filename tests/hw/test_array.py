"""hw/array.py, hw/tree.py"""

import numpy as np
import pytest

from hw.array import Array
from hw.config import Config
from hw.lane import array_form
from hw.pe_row import PERow
from hw.rtlil import emit
from hw.tree import Tree
from tests.hw.simulation import play

SHAPES = [
    (1, 1, 1),
    (1, 3, 1),
    (5, 1, 2),
    (5, 3, 1),
    (5, 3, 2),
    (5, 2, 4),
    (7, 2, 4),
    (4, 4, 4),
    (3, 6, 3),
]
"""Rows, columns, ports; with 5 rows the last of 4 ports has none."""


forms = pytest.mark.parametrize("tree", [0, 1], ids=["mesh", "tree"])


def config(rows, cols, ports, **more):
    return Config(rows=rows, cols=cols, weight_ports=ports, **more)


def run(cfg, tiles, passes, starts, load_starts):
    """Plays passes of vectors, each with its tile, and compares all sums.

    Pass ``i`` starts in ``starts[i]`` with a swap, the load of its tile in ``load_starts[i]``.
    """
    form = array_form(cfg)
    # In a mesh a port's word is later than the one above, a column's sum than the one before.
    port_skew, column_skew = (0, 0) if cfg.adder_tree else (cfg.load_cycles, 1)
    cycles = starts[-1] + len(passes[-1]) + form.latency(cfg) + cfg.cols
    cycles = max(cycles, load_starts[-1] + cfg.rows + 2 * cfg.load_cycles + cfg.cols)
    rng = np.random.default_rng(seed=cycles)
    a = rng.integers(-128, 128, (cycles, cfg.rows))
    swap = np.zeros(cycles, int)
    tag = [{"valid": 0, "row": int(r)} for r in rng.integers(0, cfg.load_cycles, cycles)]
    w = rng.integers(-128, 128, (cfg.weight_ports, cycles, cfg.cols))
    loads = [*load_starts, cycles]
    for k, (tile, vectors, start) in enumerate(zip(tiles, passes, starts, strict=True)):
        load = loads[k]
        swap[start - form.SWAP_AHEAD] = 1
        a[start : start + len(vectors)] = vectors
        for i in range(cfg.load_cycles):
            row = cfg.load_cycles - 1 - i
            tag[load + i] = {"valid": 1, "row": row}
            for p in range(cfg.weight_ports):
                if p * cfg.load_cycles + row < cfg.rows:
                    word = tile[p * cfg.load_cycles + row]
                    at = load + i + p * port_skew
                    # What feeds a tree keeps its last word until the next load.
                    until = loads[k + 1] if cfg.adder_tree and row == 0 else at + 1
                    w[p, at:until] = word

    dut = form(cfg)
    inputs = [(dut.a, a.tolist()), (dut.swap, swap.tolist()), (dut.tag, tag)]
    inputs += [(port, w[p].tolist()) for p, port in enumerate(dut.w)]
    seen = np.array([sums for (sums,) in play(dut, inputs, [dut.sums], cycles)])
    for i, (tile, vectors, start) in enumerate(zip(tiles, passes, starts, strict=True)):
        expected = np.asarray(vectors) @ tile
        for c in range(cfg.cols):
            first = start + form.latency(cfg) + c * column_skew
            got = seen[first : first + len(vectors), c]
            assert got.tolist() == expected[:, c].tolist(), f"pass {i}, column {c}"


def random_tiles(rng, cfg, count):
    return rng.integers(-128, 128, (count, cfg.rows, cfg.cols))


@pytest.mark.parametrize("registers", [1, 2, 3], ids="registers={}".format)
def test_latency_is_a_cycle_for_each_row_below_the_first(registers):
    cfg = config(5, 3, 1, product_registers=registers)
    assert Array.latency(cfg) == 4 + PERow.latency(cfg) == 6 + registers


@pytest.mark.parametrize("registers", [1, 2, 3], ids="registers={}".format)
@pytest.mark.parametrize(
    ("rows", "levels"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3)]
)
def test_latency_of_a_tree_is_a_cycle_for_each_level_above_the_pairs(rows, levels, registers):
    cfg = config(rows, 3, 1, product_registers=registers, adder_tree=1)
    assert array_form(cfg) is Tree
    assert Tree.latency(cfg) == registers + 1 + levels


@forms
@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
@pytest.mark.parametrize(("a", "w"), [(-128, -127), (-128, -128), (127, -128), (0, -128)])
def test_extreme_sums_are_exact(rows, cols, ports, a, w, tree):
    cfg = config(rows, cols, ports, adder_tree=tree)
    tile = np.full((rows, cols), w)
    run(cfg, [tile], [[[a] * rows] * 2], [cfg.load_cycles], [0])


@forms
@pytest.mark.parametrize("registers", [1, 2, 3], ids="registers={}".format)
@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
def test_passes_as_long_as_a_load_follow_each_other_without_a_bubble(
    rows, cols, ports, registers, tree
):
    cfg = config(rows, cols, ports, product_registers=registers, adder_tree=tree)
    rng = np.random.default_rng(seed=registers)
    load, count = cfg.load_cycles, 12
    # The words of tile i + 1 come in the very cycles of pass i.
    run(
        cfg, random_tiles(rng, cfg, count), rng.integers(-128, 128, (count, load, rows)),
        [load * (i + 1) for i in range(count)], [load * i for i in range(count)],
    )  # fmt: skip


@forms
@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
def test_tiles_loaded_at_any_time_of_the_pass_before(rows, cols, ports, tree):
    cfg = config(rows, cols, ports, adder_tree=tree)
    rng = np.random.default_rng(seed=7)
    count, load = 12, cfg.load_cycles
    starts, loads, end = [], [], 0
    for _ in range(count):
        room = int(rng.integers(0, 8))
        loads.append(end + int(rng.integers(0, room + 1)))
        end += load + room
        starts.append(end)
    lengths = np.diff([*starts, end + 5])
    passes = [rng.integers(-128, 128, (n, rows)) for n in lengths]
    run(cfg, random_tiles(rng, cfg, count), passes, starts, loads)


def test_a_load_that_comes_with_a_swap_is_for_the_next_one():
    cfg = config(1, 1, 1)
    dut = Array(cfg)
    inputs = [
        (dut.tag, [{"valid": 1, "row": 0}] * 2), (dut.w[0], [[3], [5]]),
        (dut.swap, [0, 1, 1]), (dut.a, [[0], [1], [1]]),
    ]  # fmt: skip
    seen = play(dut, inputs, [dut.sums], 8)
    at = 1 + Array.latency(cfg)
    assert seen[at : at + 2] == [([3],), ([5],)]


@pytest.mark.parametrize(("tree", "inside"), [(0, "row_0"), (1, "pair_0")])
def test_the_array_that_is_synthesized_alone_is_the_one_of_the_core(tree, inside):
    """Regression: it was the mesh, also of a configuration with an adder tree."""
    text = emit(config(2, 2, 1, adder_tree=tree), scope="array", part="iCE40UP5K", pins=False)
    assert f"\\{inside}" in text
