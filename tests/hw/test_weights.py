"""hw/weights.py"""

import numpy as np
import pytest

from hw import isa, layouts
from hw.config import Config
from hw.feeder import Feeder
from hw.scratchpad import Scratchpad
from hw.weights import Loader, WeightMemory
from tests.hw.simulation import plain, play, simulate

SHAPES = [(1, 1, 1), (5, 3, 1), (5, 4, 2), (7, 2, 4), (5, 6, 4), (4, 9, 4)]
"""Rows, columns, ports."""

TO_ARRAY = Feeder.LATENCY + Scratchpad.LATENCY
"""Cycles from the swap of the feeder to the array."""


def config(rows, cols, ports, **more):
    return Config(rows=rows, cols=cols, weight_ports=ports, **more)


class Memory:
    """A memory that holds random bytes, int8 (rows, ports, cols), and how they get there."""

    def __init__(self, cfg):
        self.cfg, self.dut = cfg, WeightMemory(cfg)
        rng = np.random.default_rng(seed=cfg.rows)
        # What does not belong to a column is random as well: it must not matter.
        whole = rng.integers(
            -128, 128, (cfg.weight_depth, cfg.weight_ports, cfg.port_words * 4), np.int8
        )
        self.bytes = whole[:, :, : cfg.cols]
        self.words = whole.view("<u4").reshape(cfg.weight_depth, -1)
        self.cells = [(r, w) for r in range(cfg.weight_depth) for w in range(self.words.shape[1])]
        rng.shuffle(self.cells)

    def play(self, after, outputs, cycles):
        """Writes all words, then plays; what is seen behind the writes."""
        bus, n = self.dut.bus, len(self.cells)
        rows, words = map(list, zip(*self.cells, strict=True))
        merged = {
            id(bus.row): (bus.row, rows), id(bus.word): (bus.word, words),
            id(bus.write): (bus.write, [1] * n),
            id(bus.w_data): (bus.w_data, [int(self.words[cell]) for cell in self.cells]),
        }  # fmt: skip
        for signal, values in after:
            merged[id(signal)] = signal, merged.get(id(signal), (None, [0] * n))[1] + list(values)
        return play(self.dut, merged.values(), outputs, n + cycles)[n:]


forms = pytest.mark.parametrize("tree", [0, 1], ids=["mesh", "tree"])


@forms
@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
def test_the_host_reads_what_it_wrote(rows, cols, ports, tree):
    memory = Memory(config(rows, cols, ports, weight_depth=7, adder_tree=tree))
    bus, latency = memory.dut.bus, layouts.HostBus.READ_LATENCY
    read_rows, read_words = np.repeat(memory.cells, latency + 1, axis=0).T.tolist()
    after = [(bus.row, read_rows), (bus.word, read_words)]
    seen = memory.play(after, [bus.r_data], len(read_rows))
    expected = np.zeros((7, ports, 4 * memory.cfg.port_words), np.int8)
    expected[:, :, :cols] = memory.bytes
    expected = expected.view("<u4").reshape(7, -1)
    for (data,), (row, word) in zip(seen[latency :: latency + 1], memory.cells, strict=True):
        assert data == expected[row, word], f"row {row}, word {word}"


@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
def test_port_p_gives_a_row_p_loads_after_port_0(rows, cols, ports):
    cfg = config(rows, cols, ports, weight_depth=11)
    memory = Memory(cfg)
    addresses = np.random.default_rng(seed=1).integers(0, 11, 60).tolist()
    cycles = len(addresses) + WeightMemory.LATENCY + ports * cfg.load_cycles
    after = [(memory.dut.running, [1] * cycles), (memory.dut.address, addresses)]
    seen = memory.play(after, list(memory.dut.w), cycles)
    for p in range(ports):
        late = WeightMemory.LATENCY + p * cfg.load_cycles
        got = [row[p] for row in seen[late : late + len(addresses)]]
        assert got == memory.bytes[addresses, p].tolist(), f"port {p}"


@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
def test_in_front_of_a_tree_all_ports_give_a_row_until_the_next_read(rows, cols, ports):
    cfg = config(rows, cols, ports, weight_depth=11, adder_tree=1)
    memory = Memory(cfg)
    rng = np.random.default_rng(seed=2)
    addresses = rng.integers(0, 11, 80)
    reads = rng.random(80) < 0.4
    reads[:8] = 1
    cycles = len(addresses) + WeightMemory.LATENCY
    after = [
        (memory.dut.running, [1] * cycles), (memory.dut.address, addresses.tolist()),
        (memory.dut.read, reads.astype(int).tolist()),
    ]  # fmt: skip
    seen = memory.play(after, list(memory.dut.w), cycles)
    # The address of the last read up to each cycle.
    held = addresses[np.maximum.accumulate(np.where(reads, np.arange(80), 0))]
    for p in range(ports):
        got = [row[p] for row in seen[WeightMemory.LATENCY :]]
        assert got == memory.bytes[held, p].tolist(), f"port {p}"


def layer(weights):
    return {"op": isa.Op.LAYER.value, "weights": weights}


def followers(layers):
    """For each pass whether others of its block follow, and whether other blocks do."""
    return [
        (int(tile < tiles - 1), int(block < blocks - 1))
        for _, tiles, blocks in layers
        for block in range(blocks)
        for tile in range(tiles)
    ]


def words_of(cfg, layers):
    """For each pass the words that its tile takes: (address, row)."""
    n = cfg.load_cycles
    return [
        [(weights + tile * n + i, n - 1 - i) for i in range(n)]
        for weights, tiles, blocks in layers
        for _ in range(blocks)
        for tile in range(tiles)
    ]


def run_loader(cfg, layers, swap_pause=lambda: 0, layer_pause=lambda: 0):
    """Cycles of swaps, and (cycle, address, row) of all words; swaps come at `ready`, or later.

    The pauses give cycles: between swaps beyond the first possible, and before the next layer.
    """
    dut = Loader(cfg)
    after = followers(layers)
    passes = len(after)
    swaps, words, ended = [], [], []

    async def instructions(ctx):
        for number, values in enumerate(layers):
            await ctx.tick().repeat(layer_pause() + 1)
            ctx.set(dut.layer, layer(values[0]))
            ctx.set(dut.layer_valid, 1)
            await ctx.tick().until(dut.taken)
            ctx.set(dut.layer_valid, 0)
            if not cfg.prefetch:
                # The words stay for later blocks, and the next instruction comes behind the layer.
                while len(ended) <= number:
                    await ctx.tick()

    async def passing(ctx):
        cycle = rest = 0
        while cycle < 40 or len(swaps) < passes or cycle < swaps[-1] + cfg.load_cycles + 3:
            swap = ctx.get(dut.ready) and rest <= 0 and len(swaps) < passes
            ctx.set(dut.swap, swap)
            if len(swaps) < passes:
                more = after[len(swaps)]
                ctx.set(dut.more_tiles, more[0])
                ctx.set(dut.more_blocks, more[1])
                if swap and not any(more):
                    ended.append(cycle)
            if swap:
                swaps.append(cycle)
                rest = swap_pause()
            elif ctx.get(dut.ready):
                rest -= 1
            tag = plain(ctx.get(dut.tag))
            if tag["valid"]:
                words.append((cycle, ctx.get(dut.address), tag["row"]))
            await ctx.tick()
            cycle += 1
        assert not ctx.get(dut.ready), "a tile is ready that no layer has"

    simulate(dut, instructions, passing, cycles=20_000)
    return swaps, words


def check_loader(cfg, layers, swaps, words):
    """The words of each pass come in order, behind the swap before and not after its own."""
    passes = words_of(cfg, layers)
    assert [w[1:] for w in words] == [word for tile in passes for word in tile]
    n = cfg.load_cycles
    for i, swap in enumerate(swaps):
        first, last = words[i * n][0], words[i * n + n - 1][0]
        # In the array a word that comes with the swap or behind it belongs to the next pass.
        assert last + WeightMemory.LATENCY < swap + TO_ARRAY, (
            f"pass {i} starts before its tile is there"
        )
        if i:
            before = swaps[i - 1] + TO_ARRAY
            assert first + WeightMemory.LATENCY >= before, f"tile {i} comes too early"


LAYERS = [
    [(0, 1, 1)],
    [(10, 1, 4)],
    [(3, 5, 1)],
    [(20, 3, 3), (100, 1, 1), (100, 1, 1), (7, 2, 2)],
]


@pytest.mark.parametrize("layers", LAYERS, ids=str)
@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
def test_a_pass_may_start_every_load_without_a_gap_also_across_blocks_and_layers(
    rows, cols, ports, layers
):
    cfg = config(rows, cols, ports)
    swaps, words = run_loader(cfg, layers)
    check_loader(cfg, layers, swaps, words)
    # The next layer is there a cycle after the one before was taken, which one load may not cover.
    gap = max(cfg.load_cycles, 2) if len(layers) > 1 else cfg.load_cycles
    assert max(np.diff(swaps), default=0) <= gap
    assert cfg.load_cycles == 1 or set(np.diff(swaps)) <= {cfg.load_cycles}


@pytest.mark.parametrize("prefetch", [0, 1], ids="prefetch={}".format)
@pytest.mark.parametrize(("rows", "cols", "ports"), SHAPES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_layers_with_passes_and_instructions_that_come_late(
    rows, cols, ports, seed, prefetch
):
    cfg = config(rows, cols, ports, prefetch=prefetch)
    rng = np.random.default_rng(seed)
    layers = [
        (int(rng.integers(0, 15_000)), int(rng.integers(1, 6)), int(rng.integers(1, 5)))
        for _ in range(8)
    ]
    swaps, words = run_loader(
        cfg,
        layers,
        lambda: int(rng.integers(0, 9)),
        lambda: int(rng.integers(0, 30)) * (rng.random() < 0.5),
    )
    check_loader(cfg, layers, swaps, words)


def test_weight_words_are_as_wide_as_the_ports_need():
    cfg = config(5, 6, 4)
    assert isa.row_words(cfg, isa.Space.WEIGHTS) == 8
