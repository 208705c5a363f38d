"""hw/post.py and hw/table.py"""

import numpy as np
import pytest

from hw import isa, layouts
from hw.config import Config
from hw.post import PostProcessing
from hw.results import Results
from hw.table import Table
from tests.hw.numerics import acc_for, entry, random_entry, requantize, words_of
from tests.hw.simulation import plain, play, simulate

SHAPES = [(1, 1), (2, 1), (2, 2), (5, 2), (5, 3), (6, 4), (7, 1)]
"""Columns and requantizers."""

serial = pytest.mark.parametrize("serial", [0, 1], ids="serial={}".format)


@pytest.mark.parametrize("requantizers", [1, 2, 3], ids="requantizers={}".format)
def test_table_holds_what_the_host_wrote_for_the_host_and_for_the_requantizers(requantizers):
    cfg = Config(cols=6, requantizers=requantizers, table_depth=5)
    rng = np.random.default_rng(seed=requantizers)
    row_words = requantizers * isa.TABLE_WORDS
    entries = [[random_entry(rng, 16, 1 << 31) for _ in range(requantizers)] for _ in range(5)]
    words = [np.concatenate([words_of(e) for e in row]).tolist() for row in entries]
    cells = [(r, w) for r in range(5) for w in range(row_words)]
    n, latency = len(cells), layouts.HostBus.READ_LATENCY

    def cell_word(cell):
        return words[cell[0]][cell[1]]

    dut = Table(cfg)
    order = rng.permutation(n).tolist()
    play_rows = [cells[i][0] for i in order] * 2 + [0] * 5
    inputs = [
        (dut.bus.row, play_rows), (dut.bus.word, [cells[i][1] for i in order] * 2),
        (dut.bus.write, [1] * n), (dut.bus.w_data, [cell_word(cells[i]) for i in order]),
        (dut.running, [0] * (2 * n) + [1] * 5), (dut.address, [3] * (2 * n) + [4, 2, 0, 1, 3]),
    ]  # fmt: skip
    seen = play(dut, inputs, [dut.bus.r_data, *dut.entries], 2 * n + 5 + latency)
    got = [r_data for r_data, *_ in seen[n + latency : 2 * n + latency]]
    assert got == [cell_word(cells[i]) for i in order]
    for t, address in enumerate([4, 2, 0, 1, 3], 2 * n + Results.LATENCY):
        assert list(seen[t][1:]) == entries[address]


@pytest.mark.parametrize("requantizers", [1, 2], ids="requantizers={}".format)
def test_table_before_serial_requantizers_holds_the_bits_that_mean_something(requantizers):
    cfg = Config(
        rows=3, cols=6, requantizers=requantizers, table_depth=5, acc_width=24, serial_requant=1
    )
    rng = np.random.default_rng(seed=requantizers)
    row_words = requantizers * isa.TABLE_WORDS
    entries = [[random_entry(rng, 16, 1 << 23) for _ in range(requantizers)] for _ in range(5)]
    words = [np.concatenate([words_of(e) for e in row]).tolist() for row in entries]
    mask = [0x00FFFFFF, 0x3F00FFFF, 0x01FFFFFF] * requantizers
    cells = [(r, w) for r in range(5) for w in range(row_words)]
    held = layouts.HostBus.READ_LATENCY + 1
    order = rng.permutation(len(cells)).tolist()
    n = len(cells)
    written = [words[r][w] | ~mask[w] & 0xFFFFFFFF for r, w in (cells[i] for i in order)]

    dut = Table(cfg)
    asked = [4, 2, 0, 1, 3]
    rows = [cells[i][0] for i in order]
    places = [cells[i][1] for i in order]
    reads = [i for i in range(n) for _ in range(held)]
    inputs = [
        (dut.bus.row, rows + [rows[i] for i in reads]),
        (dut.bus.word, places + [places[i] for i in reads]),
        (dut.bus.write, [1] * n), (dut.bus.w_data, written),
        (dut.running, [0] * (n + len(reads)) + [1] * 9),
        (dut.address, [3] * (n + len(reads)) + asked),
    ]  # fmt: skip
    seen = play(dut, inputs, [dut.bus.r_data, *dut.entries], n + len(reads) + 9)
    got = [seen[n + held * i + held - 1][0] for i in range(n)]
    assert got == [words[rows[i]][places[i]] & mask[places[i]] for i in range(n)]
    for t, address in enumerate(asked, n + len(reads) + Table.latency(cfg)):
        for got_entry, e in zip(seen[t][1:], entries[address], strict=True):
            assert {**got_entry, "bias": 0} == {**e, "bias": 0}
            assert (got_entry["bias"] - e["bias"]) % (1 << 24) == 0


class Bench:
    """Plays buffer and table around the component, and checks every byte that it writes."""

    def __init__(self, cfg, seed=0):
        self.cfg = cfg
        self.rng = np.random.default_rng(seed)
        self.results = []
        self.table = {
            row: [
                random_entry(
                    self.rng, cfg.multiplier_width, 1 << 20, 30, int(self.rng.random() < 0.8)
                )
                for _ in range(cfg.requantizers)
            ]
            for row in range(cfg.table_depth)
        }

    def result(self, beats, push, pushed, target=None, table=None):
        """A result of so many beats whose order and whose values come in those cycles."""
        cfg, rng = self.cfg, self.rng
        table = int(rng.integers(0, cfg.table_depth - beats + 1)) if table is None else table
        target = int(rng.integers(0, cfg.scratchpad_bytes)) if target is None else target
        acc = [
            [
                [
                    acc_for(rng, rng.integers(-200, 200), self.table[table + b][q], 32)
                    for q in range(cfg.requantizers)
                ]
                for _ in range(cfg.lanes)
            ]
            for b in range(beats)
        ]
        self.results.append({
            "target": target, "table": table, "acc": acc, "push": push, "pushed": pushed,
        })  # fmt: skip

    def run(self):
        """Cycles in which results retire; compares all writes."""
        cfg = self.cfg
        dut = PostProcessing(cfg)
        expected = [
            (
                (r["target"] + b * cfg.requantizers) % cfg.scratchpad_bytes,
                [
                    [
                        requantize(acc, e) if e["write"] else None
                        for acc, e in zip(lane, self.table[r["table"] + b], strict=True)
                    ]
                    for lane in r["acc"][b]
                ],
                b == len(r["acc"]) - 1,
            )
            for r in self.results
            for b in range(len(r["acc"]))
        ]
        wanted = [e for e in expected if e[2] or any(v is not None for v in e[1][0])]
        pushes = {r["push"]: r for r in self.results}
        pushed = {r["pushed"] for r in self.results}
        waits, table_waits = Results.LATENCY, Table.latency(cfg)
        cycles = max(pushed) + (len(expected) + 2) * cfg.requant_cycles + 40
        writes, retired = [], []

        async def testbench(ctx):
            asked, number, last_index = [], -1, None
            for t in range(cycles):
                ctx.set(dut.push, int(t in pushes))
                if t in pushes:
                    r = pushes[t]
                    ctx.set(dut.result, {
                        "target": r["target"], "table": r["table"], "beats_last": len(r["acc"]) - 1
                    })  # fmt: skip
                ctx.set(dut.pushed, int(t in pushed))
                if len(asked) >= waits:
                    # Index counts modulo the depth: which result it means follows from the order.
                    index, beat, _ = asked[-waits]
                    table = asked[-table_waits][2]
                    if index != last_index:
                        number, last_index = number + 1, index
                    known = (
                        number < len(self.results)
                        and self.results[number]["pushed"] < t - waits
                        and beat < len(self.results[number]["acc"])
                    )
                    acc = self.results[number]["acc"][beat] if known else None
                    for lane, port in enumerate(dut.acc):
                        ctx.set(port, acc[lane] if acc else [99] * cfg.requantizers)
                    for port, e in zip(
                        dut.entries, self.table.get(table, [entry()] * 9), strict=False
                    ):
                        ctx.set(port, e)
                _, _, index, beat, table, done, *o = await ctx.tick().sample(
                    dut.index, dut.beat, dut.table, dut.retired, *dut.o
                )
                asked.append((index, beat, table))
                o = [plain(lane) for lane in o]
                assert all((x["address"], x["mask"]) == (o[0]["address"], o[0]["mask"]) for x in o)
                if o[0]["mask"] or done:
                    values = [
                        [v if x["mask"] >> q & 1 else None for q, v in enumerate(x["data"])]
                        for x in o
                    ]
                    writes.append((o[0]["address"], values, bool(done)))
                if done:
                    retired.append(t)

        simulate(dut, testbench, cycles=cycles + 2)
        for n, (got, want) in enumerate(zip(writes, wanted, strict=False)):
            assert got == want, f"write {n}"
        assert len(writes) == len(wanted)
        return retired


def retires(cfg, begin, beats):
    """When the last byte of a result comes whose first beat is read in a cycle."""
    return begin + (beats - 1) * cfg.requant_cycles + PostProcessing.latency(cfg)


@serial
@pytest.mark.parametrize(("cols", "requantizers"), SHAPES)
def test_one_result_retires_with_its_last_byte_after_buffer_and_requantizer(
    cols, requantizers, serial
):
    cfg = Config(rows=8, cols=cols, requantizers=requantizers, serial_requant=serial)
    bench = Bench(cfg)
    bench.result(cfg.beats, push=0, pushed=10)
    # One cycle until the buffer counts as filled, then its beats.
    assert bench.run() == [retires(cfg, 11, cfg.beats)]
    assert PostProcessing.latency(cfg) == Results.LATENCY + (16 if serial else 10)


@serial
@pytest.mark.parametrize(("cols", "requantizers"), SHAPES)
def test_results_in_a_row_take_their_beats_and_no_cycle_more(cols, requantizers, serial):
    cfg = Config(
        rows=8, cols=cols, requantizers=requantizers, result_depth=16, serial_requant=serial
    )
    bench = Bench(cfg, seed=1)
    for i in range(16):
        bench.result(cfg.beats, push=i, pushed=20 + i)
    retired = bench.run()
    assert np.diff(retired).tolist() == [cfg.beats * cfg.requant_cycles] * 15


@serial
def test_addresses_wrap_at_the_end_of_the_scratchpad_and_masked_bytes_are_not_written(serial):
    cfg = Config(cols=6, requantizers=2, scratchpad_bytes=64, serial_requant=serial)
    bench = Bench(cfg, seed=2)
    for row in range(cfg.table_depth):
        bench.table[row][1]["write"] = 0
    for i, target in enumerate((63, 62, 59)):
        bench.result(3, push=i, pushed=10 + i, target=target)
    bench.run()


@serial
def test_a_result_of_masked_bytes_only_retires_all_the_same(serial):
    cfg = Config(cols=2, requantizers=2, serial_requant=serial)
    bench = Bench(cfg, seed=3)
    bench.table[7] = [entry(write=0)] * 2
    bench.result(1, push=0, pushed=10, table=7)
    assert len(bench.run()) == 1


@serial
@pytest.mark.parametrize("lanes", [1, 3], ids="lanes={}".format)
@pytest.mark.parametrize(("cols", "requantizers"), SHAPES)
def test_random_results(cols, requantizers, lanes, serial):
    cfg = Config(
        rows=8, cols=cols, requantizers=requantizers, lanes=lanes, table_depth=20, result_depth=8,
        serial_requant=serial,
    )  # fmt: skip
    bench = Bench(cfg, seed=cols)
    push = pushed = free = 0
    ends = []
    for n in range(20 if serial else 80):
        beats = int(bench.rng.integers(1, cfg.beats + 1))
        push += 1 if bench.rng.random() < 0.6 else int(bench.rng.integers(2, 30))
        if n >= cfg.result_depth:
            # As the feeder does: no more than result_depth on their way.
            push = max(push, ends[n - cfg.result_depth] + 1)
        pushed = max(pushed + 1, push + int(bench.rng.integers(8, 20)))
        begin = max(pushed + 1, free)
        free = begin + beats * cfg.requant_cycles
        ends.append(retires(cfg, begin, beats))
        bench.result(beats, push, pushed)
    assert bench.run() == ends
