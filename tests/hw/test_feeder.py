"""hw/feeder.py"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

from hw import isa
from hw.config import Config
from hw.feeder import Feeder
from tests.hw.simulation import plain, simulate

NO_WAIT = 511
"""As much as `allow` may be on any hardware."""

LEVELS: tuple[str, ...] = ("window_x", "window_y", "x", "y", "tile", "slice", "kernel_y", "block")
WEIGHTS, INPUT, DEPENDENCY, POST, OUTPUT, PROGRAM = range(6)
"""Bits of `stalls`."""


@dataclass(frozen=True)
class Layer:
    """A loop nest, by what each loop does itself; an instruction holds differences instead."""

    counts: dict[str, int]
    moves: dict[str, int]
    """Bytes that the source moves with each loop."""
    target_moves: dict[str, int]
    allow_moves: dict[str, int]
    fields: dict[str, int]

    def instruction(self):
        values = {**self.fields, "weights": 0, "block_tiles": 0}
        values |= {f"{n}_last": self.counts[n] - 1 for n in LEVELS}
        for prefix, moves in (
            ("step", self.moves), ("move", self.target_moves), ("allow", self.allow_moves)
        ):  # fmt: skip
            values |= {f"{prefix}_{n}": step for n, step in self.steps(moves).items()}
        return isa.encode(isa.Op.LAYER, **values)

    def steps(self, moves=None):
        """What each loop adds when it advances."""
        inside, found = 0, {}
        for name, move in (moves or self.moves).items():
            found[name] = move - inside
            inside += (self.counts[name] - 1) * move
        return found

    def vectors(self, cfg):
        """Every vector in order, as plain nested loops over the counts."""
        c, f = self.counts, self.fields
        size = 1 << cfg.address_width
        found = []
        for index in product(*(range(c[n]) for n in reversed(LEVELS))):
            i = dict(zip(reversed(LEVELS), index, strict=True))
            first = {n: i[n] == 0 for n in LEVELS}
            last = {n: i[n] == c[n] - 1 for n in LEVELS}
            address = f["source"] + sum(i[n] * self.moves[n] for n in LEVELS)
            accumulator = 0
            for n in ("tile", "y", "x", "window_y", "window_x"):
                accumulator = accumulator * c[n] + i[n]
            complete = last["slice"] and last["kernel_y"]
            target = f["target"] + sum(i[n] * self.target_moves[n] for n in self.target_moves)
            beats_last = f["tail_beats_last"] if last["tile"] else f["beats_last"]
            found.append({
                "address": address,
                "swap": all(first[n] for n in LEVELS[:4]),
                "more_tiles": not all(last[n] for n in ("tile", "slice", "kernel_y")),
                "more_blocks": not last["block"],
                "accumulate": {
                    "valid": 1,
                    "address": accumulator,
                    "first": int(first["slice"] and first["kernel_y"]),
                    "result": int(complete),
                    "window_first": int(first["window_x"] and first["window_y"]),
                    "window_last": int(last["window_x"] and last["window_y"]),
                    "pool_sum": f["pool_sum"],
                },
                "pushes": complete and last["window_x"] and last["window_y"],
                "result": {
                    "target": target % size,
                    "table": f["table"] + i["tile"] * (f["beats_last"] + 1),
                    "beats_last": beats_last,
                },
                "allow": f["allow"] + sum(i[n] * self.allow_moves[n] for n in self.allow_moves),
                "ends": all(last.values()),
                "layer_first": all(first.values()),
            })  # fmt: skip
        return found


def layer(counts=(), source=0, **more):
    """A layer of few loops: counts by name; moves, target_moves and allow_moves too."""
    moves = dict.fromkeys(LEVELS, 0) | more.pop("moves", {})
    target_moves = dict.fromkeys(isa.RESULT_LEVELS, 0) | more.pop("target_moves", {})
    allow_moves = dict.fromkeys(isa.ALLOW_LEVELS, 0) | more.pop("allow_moves", {})
    fields = {
        "src_input": 0, "wait_input": 0, "release_input": 0, "wait_emit": 0, "pool_sum": 0,
        "pass_min": 0, "table": 0, "beats_last": 0, "tail_beats_last": 0, "target": 0,
        "allow": NO_WAIT, "emit_source": 0, "emit_words": 0,
    }  # fmt: skip
    counts = dict.fromkeys(LEVELS, 1) | dict(counts)
    return Layer(counts, moves, target_moves, allow_moves, fields | {"source": source} | more)


def random_layer(rng, cfg):
    while True:
        counts = {n: int(rng.integers(1, 4 if rng.random() < 0.4 else 2)) for n in LEVELS}
        counts |= {n: int(rng.integers(1, 7)) for n in ("x", "y") if rng.random() < 0.6}
        counts |= {
            n: int(rng.integers(1, 5)) for n in ("window_x", "window_y") if rng.random() < 0.3
        }
        if np.prod(list(counts.values())) <= 300:
            break
    size = cfg.scratchpad_bytes
    bit = lambda: int(rng.random() < 0.4)  # noqa: E731
    beats_last = int(rng.integers(0, cfg.beats))
    return layer(
        counts,
        source=int(rng.integers(0, size)),
        moves={n: int(rng.integers(-size, size)) for n in LEVELS},
        target_moves={n: int(rng.integers(-size, size)) for n in isa.RESULT_LEVELS},
        allow_moves={n: int(rng.integers(-2, 4)) for n in isa.ALLOW_LEVELS},
        src_input=bit(), wait_input=bit(), release_input=bit(), wait_emit=bit(), pool_sum=bit(),
        pass_min=int(rng.integers(0, 4)),
        table=int(rng.integers(0, cfg.table_depth - 4 * cfg.beats)),
        beats_last=beats_last,
        tail_beats_last=int(rng.integers(0, beats_last + 1)),
        target=int(rng.integers(0, size)),
        allow=int(rng.integers(0, 9)) if rng.random() < 0.5 else 400,
        emit_source=4 * int(rng.integers(0, size // 4)),
        emit_words=int(rng.integers(1, size // 4 + 1)) * bit(),
    )  # fmt: skip


FREE = {
    "layer_there": True, "weights_ready": 1, "input_ready": 1, "input_base": 0, "emit_busy": 0,
    "emit_read": 0, "emit_address": 0, "retire": True,
}  # fmt: skip


def random_world(seed, cfg):
    """Everything that a vector may wait for comes and goes."""
    rng = np.random.default_rng(seed)
    held = dict(FREE)

    def world(cycle):
        for name in ("weights_ready", "input_ready"):
            if rng.random() < 0.3:
                held[name] = int(rng.random() < 0.7)
        if rng.random() < 0.05:
            held["emit_busy"] = 1 - held["emit_busy"]
        # A word in two cycles at the most.
        held["emit_read"] = int(held["emit_busy"] and not held["emit_read"] and rng.random() < 0.4)
        held["emit_address"] = 4 * int(rng.integers(0, cfg.scratchpad_words))
        held["input_base"] = 4 * int(rng.integers(0, cfg.scratchpad_words))
        held["layer_there"] = rng.random() < 0.8
        # Sometimes nothing is written for a while.
        held["retire"] = cycle // 64 % 3 != 1 and rng.random() < 0.5
        return held

    return world


class Bench:
    """Runs layers and checks every output in every cycle.

    Without prefetch it stands for the sequencer, too: an instruction stays until it is over, and
    steps come when they are asked for. `world(cycle)` says what the surroundings do, with the keys
    of `FREE`.
    """

    def __init__(self, cfg, layers, world):
        self.cfg, self.layers, self.world = cfg, layers, world
        self.dut = Feeder(cfg)
        self.fired: list[int] = []
        self.stalls: list[int | None] = []

    def run(self):
        simulate(self.dut, self._testbench, cycles=30_000)
        return self.fired

    async def _testbench(self, ctx):
        dut, cfg = self.dut, self.cfg
        instructions = [words_to_bits(layer.instruction()) for layer in self.layers]
        number = 0
        vectors: list[dict[str, Any]] = []
        pending = earlier = timer = base = step = move = 0
        fields: dict[str, int] = {}
        leaving: list[Any] = [None] * Feeder.LATENCY
        sent = None
        ended: dict[str, int] = {}
        cycle = drained = 0
        while drained < 5:
            now = self.world(cycle)
            there = number < len(self.layers) and now["layer_there"]
            if not cfg.prefetch:
                # While one is at work, and in the cycle behind it, there is no other.
                there = there and not vectors and not ended
            retire = int(now["retire"] and pending > 0)
            if there:
                ctx.set(dut.layer.as_value(), instructions[number])
                coming = self.layers[number]
                turns = [coming.counts[n] for n in LEVELS]
                for name, said in (
                    ("single", [count == 1 for count in turns]),
                    ("singles", [max(turns[: i + 1]) == 1 for i in range(len(turns))]),
                    ("double", [count == 2 for count in turns]),
                ):
                    ctx.set(getattr(dut, name), sum(bit << i for i, bit in enumerate(said)))
                ctx.set(dut.emits, coming.fields["emit_words"] != 0)
            ctx.set(dut.layer_valid, there)
            ctx.set(dut.weights_taken, there)
            ctx.set(dut.step, step)
            ctx.set(dut.move, move)
            for name in (
                "weights_ready",
                "input_ready",
                "input_base",
                "emit_busy",
                "emit_read",
                "emit_address",
            ):
                ctx.set(getattr(dut, name), now[name])
            ctx.set(dut.retired, retire)

            # What should happen now.
            v = vectors[0] if vectors else None
            cause = None
            if v is None:
                cause = OUTPUT if now["emit_read"] else PROGRAM
            elif v["swap"] and not now["weights_ready"]:
                cause = WEIGHTS
            elif v["layer_first"] and fields["wait_input"] and not now["input_ready"]:
                cause = INPUT
            elif (v["swap"] and timer) or (earlier and v["allow"] < earlier):
                cause = DEPENDENCY
            elif (
                v["accumulate"]["result"]
                and v["accumulate"]["window_last"]
                and pending == cfg.result_depth
            ):
                cause = POST
            elif now["emit_read"] or (
                v["layer_first"]
                and (fields["wait_emit"] or fields["emit_words"])
                and now["emit_busy"]
            ):
                cause = OUTPUT
            fires = cause is None
            pushes = bool(fires and v and v["pushes"])
            ends = bool(fires and v and v["ends"])
            taken = there and v is None
            step = move = 0
            if v is not None and not cfg.prefetch:
                at_work = self.layers[number - 1]
                step = at_work.steps()[LEVELS[ctx.get(dut.level)]]
                moves = at_work.steps(at_work.target_moves)
                move = moves[isa.RESULT_LEVELS[ctx.get(dut.result_level)]]
            after = pending + pushes - retire

            def expect(what, got, wanted, cycle=cycle):
                assert got == wanted, f"{what} in cycle {cycle} is {got} and should be {wanted}"

            expect("stalls", ctx.get(dut.stalls), 0 if cause is None else 1 << cause)
            expect("fed", ctx.get(dut.fed), fires)
            expect("layer_taken", ctx.get(dut.layer_taken), taken)
            free = taken if cfg.prefetch else bool(ended)
            expect("layer_free", ctx.get(dut.layer_free), free)
            expect("swap", ctx.get(dut.swap), bool(fires and v and v["swap"]))
            if fires and v and v["swap"]:
                expect("more_tiles", ctx.get(dut.more_tiles), v["more_tiles"])
                expect("more_blocks", ctx.get(dut.more_blocks), v["more_blocks"])
            expect("result_push", ctx.get(dut.result_push), sent is not None)
            expect("input_release", ctx.get(dut.input_release), ended.get("release_input", 0))
            expect("emit_taken", ctx.get(dut.emit_taken), now["emit_read"])
            expect("emit_start", ctx.get(dut.emit_start), ended.get("emit_words", 0) != 0)
            expect("idle", ctx.get(dut.idle), v is None and pending == 0)
            if sent is not None:
                expect("result", plain(ctx.get(dut.result)), sent)
            # The result is announced a cycle behind the decision.
            sent = v["result"] if pushes and v else None
            if ended.get("emit_words"):
                expect("emit_source", ctx.get(dut.emit_source), ended["emit_source"])
                expect("emit_words", ctx.get(dut.emit_words), ended["emit_words"])
                expect("emit_after", ctx.get(dut.emit_after), after)
            # The end of a layer is announced a cycle behind it, too.
            ended = fields if ends else {}
            self._expect_vector(ctx, leaving.pop(0), expect)

            # And what follows from it.
            self.stalls.append(cause)
            if now["emit_read"]:
                leaving.append({"emit": 1, "address": now["emit_address"]})
            elif fires and v:
                self.fired.append(cycle)
                if v["layer_first"]:
                    base = now["input_base"] if fields["src_input"] else 0
                leaving.append({
                    "emit": 0, "address": (base + v["address"]) % cfg.scratchpad_bytes,
                    "swap": v["swap"], "accumulate": v["accumulate"],
                })  # fmt: skip
                vectors.pop(0)
            else:
                leaving.append(None)
            # Cycles lost within a pass do not count for its shortest length.
            if fires and v and v["swap"]:
                timer = fields["pass_min"]
            elif timer and (fires or (v is None) or v["swap"]):
                timer -= 1
            if retire and earlier:
                earlier -= 1
            pending = after
            if taken:
                earlier = after
                fields = self.layers[number].fields
                vectors = self.layers[number].vectors(cfg)
                number += 1
            await ctx.tick()
            cycle += 1
            drained = (
                drained + 1 if number == len(self.layers) and not vectors and not pending else 0
            )

    def _expect_vector(self, ctx, vector, expect):
        dut = self.dut
        expect("vector_valid", ctx.get(dut.vector_valid), vector is not None and not vector["emit"])
        got = plain(ctx.get(dut.vector))
        if vector is None:
            assert (got["emit"], got["swap"], got["accumulate"]["valid"]) == (0, 0, 0)
            return
        if vector["emit"]:
            assert (got["swap"], got["accumulate"]["valid"]) == (0, 0)
        for name, value in vector.items():
            expect(f"vector.{name}", got[name], value)


def words_to_bits(words):
    return sum(word << 32 * i for i, word in enumerate(words))


TINY = Config(rows=3, cols=2, scratchpad_bytes=1024, acc_depth=512, result_depth=4)
CONFIGS = [
    TINY,
    Config(rows=5, cols=6, requantizers=2, scratchpad_bytes=4096, acc_depth=300, result_depth=8),
    Config(rows=5, cols=6, scratchpad_bytes=2048, acc_depth=300, result_depth=8, prefetch=0),
]
CONFIG_NAMES = ["tiny", "requantizers=2", "prefetch=0"]


def free(**changes):
    return lambda cycle: FREE | changes


def test_one_vector_is_a_layer_too():
    bench = Bench(TINY, [layer(source=77, target=5)], free())
    assert bench.run() == [1]


def test_a_cycle_is_free_between_layers():
    fired = Bench(TINY, [layer(source=i, target=i) for i in range(20)], free()).run()
    assert fired == list(range(1, 41, 2))


@pytest.mark.parametrize("name", LEVELS)
def test_each_loop_by_itself(name):
    nest = layer(
        {name: 4}, source=3, moves={name: 10}, target=9, table=2,
        target_moves={name: 6} if name in isa.RESULT_LEVELS else {},
        beats_last=0, pool_sum=1,
    )  # fmt: skip
    assert Bench(TINY, [nest], free()).run() == [1, 2, 3, 4]


@pytest.mark.parametrize("cfg", CONFIGS, ids=CONFIG_NAMES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_layers_without_anything_to_wait_for(cfg, seed):
    rng = np.random.default_rng(seed)
    layers = [random_layer(rng, cfg) for _ in range(6)]
    for nest in layers:
        nest.fields["pass_min"] = 0
        nest.fields["allow"] = 400
    bench = Bench(cfg, layers, free())
    fired = bench.run()
    total = sum(int(np.prod(list(nest.counts.values()))) for nest in layers)
    # A result is written at once here, so nothing stops but for the cycle in which a layer is
    # taken; without prefetch the bench has the next one a cycle later.
    between = 1 if cfg.prefetch else 2
    assert fired[-1] == total + between * (len(layers) - 1)


@pytest.mark.parametrize("cfg", CONFIGS, ids=CONFIG_NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_random_layers_in_a_world_that_makes_them_wait(cfg, seed):
    rng = np.random.default_rng(100 + seed)
    layers = [random_layer(rng, cfg) for _ in range(10)]
    bench = Bench(cfg, layers, random_world(seed, cfg))
    bench.run()
    if seed == 0:
        assert set(bench.stalls) == {None, *range(6)}, "a cause never came up"


@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 5])
def test_passes_are_at_least_pass_min_apart_and_no_more(vectors):
    nest = layer({"x": vectors, "slice": 3}, pass_min=3)
    fired = Bench(TINY, [nest, nest], free()).run()
    starts = fired[::vectors]
    within, between = max(vectors, 4), max(vectors + 1, 4)
    assert np.diff(starts).tolist() == [within, within, between, within, within]


def test_a_vector_that_is_late_within_its_pass_makes_the_next_pass_as_late():
    nest = layer({"x": 3, "slice": 2}, pass_min=3)
    # Two words of output take the places of the second and the third vector.
    fired = Bench(TINY, [nest], lambda cycle: FREE | {"emit_read": int(cycle in (2, 4))}).run()
    assert fired == [1, 3, 5, 7, 8, 9]


def test_a_pass_waits_for_its_weights_and_its_other_vectors_do_not():
    nest = layer({"x": 3, "tile": 2})
    fired = Bench(TINY, [nest], lambda cycle: FREE | {"weights_ready": int(cycle in (4, 9))}).run()
    assert fired == [4, 5, 6, 9, 10, 11]


def test_the_first_vector_waits_for_the_image_and_takes_its_address():
    nest = layer({"x": 3}, source=8, moves={"x": 1}, wait_input=1, src_input=1, release_input=1)
    bench = Bench(
        TINY, [nest], lambda cycle: FREE | {"input_ready": int(cycle == 6), "input_base": 4 * cycle}
    )
    assert bench.run() == [6, 7, 8]


def test_results_wait_for_room():
    nest = layer({"x": 12}, target_moves={"x": 1})
    # The buffer of four is full until results are written from cycle 20 on.
    bench = Bench(TINY, [nest], lambda cycle: FREE | {"retire": cycle >= 20})
    assert bench.run() == [1, 2, 3, 4, *range(21, 29)]


def test_passes_on_the_way_to_a_result_need_no_room():
    layers = [layer({"x": 4}), layer({"x": 2, "slice": 2}, allow=100)]
    bench = Bench(TINY, layers, lambda cycle: FREE | {"retire": cycle >= 20})
    assert bench.run() == [1, 2, 3, 4, 6, 7, 21, 22]


@pytest.mark.parametrize("allow", [0, 1, 2, 3, 4])
def test_a_layer_waits_until_so_many_results_of_earlier_layers_are_pending(allow):
    layers = [layer({"x": 4}), layer({"x": 2, "slice": 2}, allow=allow)]
    bench = Bench(TINY, layers, lambda cycle: FREE | {"retire": cycle >= 20})
    # Results retire from cycle 20 on, one a cycle; the count is down a cycle later.
    first = 6 if allow == 4 else 20 + 4 - allow
    assert bench.run()[4:6] == [first, first + 1]


def test_the_bound_on_pending_results_moves_with_slice_kernel_row_and_block():
    layers = [
        layer({"x": 4}),
        layer({"slice": 2, "kernel_y": 2}, allow=4, allow_moves={"slice": -1, "kernel_y": -2}),
    ]
    bench = Bench(TINY, layers, lambda cycle: FREE | {"retire": cycle >= 20 and cycle % 10 == 0})
    # Bounds 4, 3, 2, 1.
    assert bench.run() == [1, 2, 3, 4, 6, 21, 31, 41]


def test_a_layers_own_results_do_not_stop_it():
    layers = [layer(), layer({"y": 3}, allow=0)]
    bench = Bench(TINY, layers, lambda cycle: FREE | {"retire": cycle == 10 or cycle > 30})
    assert bench.run() == [1, 11, 12, 13]


@pytest.mark.parametrize("what", [{"wait_emit": 1}, {"emit_words": 7}], ids=str)
def test_a_layer_waits_for_the_output_before(what):
    nest = layer({"x": 2}, **what)
    assert Bench(TINY, [nest], lambda cycle: FREE | {"emit_busy": int(cycle < 9)}).run() == [9, 10]


def test_a_word_of_output_takes_the_place_of_a_vector():
    nest = layer({"x": 6}, moves={"x": 1})
    world = lambda cycle: FREE | {"emit_read": cycle % 2, "emit_address": 4 * cycle}  # noqa: E731
    assert Bench(TINY, [nest], world).run() == [2, 4, 6, 8, 10, 12]
