"""The loop nest of a layer: which slice enters the array in each cycle, and what becomes of its
sums."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config

INNER = 4
"""Loops within a pass: those of the window and of the positions."""


class Feeder(wiring.Component):
    """Decides, cycle by cycle, whether the next vector of the layer may go, and sends it.

    A vector waits for its weights (first of a pass), for an image, for the results of earlier
    layers that it may read, for the output of an earlier run of the program, and for room for its
    result; `stalls` says for which, in the order of `isa.COUNTERS`. The decision is taken `LATENCY`
    cycles before the vector leaves, so that its address has registers to be made in.

    Attributes
    ----------
    layer, layer_valid, layer_taken : In, In, Out
        The next layer instruction; it is copied in the cycle of `layer_taken`.
    weights_taken : In
        The loader has copied the instruction already.
    weights_ready, swap : In, Out
        A pass may start; it starts.
    input_ready, input_base, input_release : In, In, Out
        The oldest input slot is full; its address; its last vector goes in this cycle.
    emit_busy, emit_read, emit_address, emit_taken : In, In, In, Out
        An output is being sent; a word of it is wanted, from there; it is being read instead of a
        slice.
    emit_start, emit_source, emit_words, emit_after : Out
        The layer that ends in this cycle has an output, and so many results are before it.
    result_push, result : Out
        A result is on its way: where it goes.
    retired : In
        The oldest result has been written.
    vector, vector_valid : Out
        What enters the array.
    idle : Out
        No layer is being fed and no result is on its way.
    fed, stalls : Out
        For the counters: a vector was sent, or why not.
    """

    LATENCY = 2

    layer: data.View
    layer_valid: Signal
    layer_taken: Signal
    weights_taken: Signal
    weights_ready: Signal
    swap: Signal
    input_ready: Signal
    input_base: Signal
    input_release: Signal
    emit_busy: Signal
    emit_read: Signal
    emit_address: Signal
    emit_taken: Signal
    emit_start: Signal
    emit_source: Signal
    emit_words: Signal
    emit_after: Signal
    result_push: Signal
    result: data.View
    retired: Signal
    vector: data.View
    vector_valid: Signal
    idle: Signal
    fed: Signal
    stalls: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        address = cfg.address_width
        super().__init__({
            "layer":         In(isa.layout(isa.LAYER)),
            "layer_valid":   In(1),
            "layer_taken":   Out(1),
            "weights_taken": In(1),
            "weights_ready": In(1),
            "swap":          Out(1),
            "input_ready":   In(1),
            "input_base":    In(address),
            "input_release": Out(1),
            "emit_busy":     In(1),
            "emit_read":     In(1),
            "emit_address":  In(address),
            "emit_taken":    Out(1),
            "emit_start":    Out(1),
            "emit_source":   Out(address),
            "emit_words":    Out(16),
            "emit_after":    Out(range(cfg.result_depth + 1)),
            "result_push":   Out(1),
            "result":        Out(layouts.result(cfg)),
            "retired":       In(1),
            "vector":        Out(layouts.vector(cfg)),
            "vector_valid":  Out(1),
            "idle":          Out(1),
            "fed":           Out(1),
            "stalls":        Out(len(isa.COUNTERS) - 2),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg

        layer = Signal(isa.layout(isa.LAYER), reset_less=True)
        active = Signal()
        layer_first, pass_first, sum_first = Signal(), Signal(), Signal()
        counts = {
            n: Signal(layer[f"{n}_last"].shape(), name=f"{n}_left", reset_less=True)
            for n in isa.LEVELS
        }
        last = {n: count == 0 for n, count in counts.items()}
        advancing = _first_false(m, last)
        pass_last = _all(last[n] for n in isa.LEVELS[:INNER])
        tile_last = pass_last & last["tile"]
        sum_last = last["slice"] & last["kernel_y"]
        window_last = last["window_x"] & last["window_y"]
        ends = tile_last & sum_last & last["block"]
        has_result = sum_last & window_last

        fire = Signal()
        taken = self.layer_taken
        m.d.comb += [
            taken.eq(self.layer_valid & self.weights_taken & (~active | (fire & ends))),
            self.result_push.eq(fire & has_result),
            self.fed.eq(fire),
            self.swap.eq(fire & pass_first),
            self.input_release.eq(fire & ends & layer.release_input),
        ]

        pending, earlier = self._pending(m, taken)
        allow = Signal(signed(16), reset_less=True)
        timer = Signal(layer.pass_min.shape())
        may_read = (earlier == 0) | (allow >= earlier)
        # In the order of isa.COUNTERS; the first that holds is the one that is counted.
        causes = Cat(
            pass_first & ~self.weights_ready & active,
            layer_first & layer.wait_input & ~self.input_ready & active,
            ((pass_first & (timer != 0)) | ~may_read) & active,
            has_result & (pending == cfg.result_depth) & active,
            (layer_first & (layer.wait_emit | (layer.emit_words != 0)) & self.emit_busy & active)
            | self.emit_read,
            ~active,
        )
        m.d.comb += [
            fire.eq(~causes.any()),
            self.stalls.eq(causes & -causes),
            # One word in two cycles at the most, and none where a slice would go first: never both.
            self.emit_taken.eq(self.emit_read),
            self.idle.eq(~active & (pending == 0)),
        ]

        # A vector that is late within its pass makes the next pass as late: an accumulator must be
        # written before it is read, whoever had to wait in between.
        with m.If((timer != 0) & (fire | pass_first)):
            m.d.sync += timer.eq(timer - 1)
        with m.If(fire):
            m.d.sync += [
                layer_first.eq(0),
                pass_first.eq(pass_last),
            ]
            with m.If(pass_first):
                m.d.sync += timer.eq(layer.pass_min)
            self._advance(m, layer, counts, advancing)
            with m.If(advancing["slice"] | advancing["kernel_y"]):
                m.d.sync += sum_first.eq(0)
            with m.If(advancing["block"]):
                m.d.sync += sum_first.eq(1)
            for n in isa.ALLOW_LEVELS:
                with m.If(advancing[n]):
                    m.d.sync += allow.eq(allow + layer[f"allow_{n}"].as_signed())
            with m.If(ends):
                m.d.sync += active.eq(0)
        with m.If(taken):
            m.d.sync += [
                active.eq(1),
                layer.eq(self.layer),
                layer_first.eq(1),
                pass_first.eq(1),
                sum_first.eq(1),
                allow.eq(self.layer.allow),
                *(count.eq(self.layer[f"{n}_last"]) for n, count in counts.items()),
            ]

        self._target(m, layer, taken, fire & has_result, last)
        self._table(m, layer, taken, fire & sum_last & pass_last, last)
        self._emit(m, layer, fire & ends)
        order = self._order(m, layer, fire, sum_first, sum_last, window_last, counts, taken)
        m.d.comb += [
            order.pool_sum.eq(layer.pool_sum),
        ]
        self._address(m, layer, fire, layer_first, advancing, pass_first, order)
        return m

    def _pending(self, m: Module, taken: Value) -> tuple[Signal, Signal]:
        """Results on their way, and those of them that earlier layers sent."""
        pending = Signal(range(self.cfg.result_depth + 1))
        earlier = Signal.like(pending)
        after = Signal.like(pending)
        m.d.comb += [
            after.eq(pending + self.result_push - self.retired),
            self.emit_after.eq(after),
        ]
        m.d.sync += pending.eq(after)
        with m.If(taken):
            m.d.sync += earlier.eq(after)
        with m.Elif(self.retired & (earlier != 0)):
            m.d.sync += earlier.eq(earlier - 1)
        return pending, earlier

    def _advance(self, m: Module, layer: data.View, counts: dict, advancing: dict) -> None:
        """Counts the loops: those inside the one that advances start again."""
        inner = []
        for n in isa.LEVELS:
            with m.If(advancing[n]):
                m.d.sync += counts[n].eq(counts[n] - 1)
                m.d.sync += [counts[i].eq(layer[f"{i}_last"]) for i in inner]
            inner.append(n)

    def _target(self, m: Module, layer: data.View, taken: Value, sent: Value, last: dict) -> None:
        """Where results go."""
        target = self.result.target
        with m.If(sent):
            moves = _first_false(m, {n: last[n] for n in isa.RESULT_LEVELS}, "move")
            for n, moving in moves.items():
                with m.If(moving):
                    m.d.sync += target.eq(target + layer[f"move_{n}"])
        with m.If(taken):
            m.d.sync += target.eq(self.layer.target)

    def _table(self, m: Module, layer: data.View, taken: Value, done: Value, last: dict) -> None:
        """What requantizes the tile's results; `done` with the last vector of its last pass."""
        table = self.result.table
        m.d.comb += self.result.beats_last.eq(
            Mux(last["tile"], layer.tail_beats_last, layer.beats_last)
        )
        with m.If(done):
            m.d.sync += table.eq(Mux(last["tile"], layer.table, table + layer.beats_last + 1))
        with m.If(taken):
            m.d.sync += table.eq(self.layer.table)

    def _emit(self, m: Module, layer: data.View, ended: Value) -> None:
        m.d.comb += [
            self.emit_start.eq(ended & (layer.emit_words != 0)),
            self.emit_source.eq(layer.emit_source),
            self.emit_words.eq(layer.emit_words),
        ]

    def _order(
        self, m: Module, layer: data.View, fire: Value, sum_first: Signal, sum_last: Value,
        window_last: Value, counts: dict, taken: Value,
    ) -> data.View:  # fmt: skip
        """What the accumulators do with this vector; their address counts the vectors of a block's
        k."""
        order = Signal(layouts.accumulate(self.cfg))
        address = Signal(range(self.cfg.acc_depth), reset_less=True)
        tile_last = _all(counts[n] == 0 for n in isa.LEVELS[: INNER + 1])
        with m.If(fire):
            m.d.sync += address.eq(Mux(tile_last, 0, address + 1))
        with m.If(taken):
            m.d.sync += address.eq(0)
        m.d.comb += [
            order.valid.eq(fire),
            order.address.eq(address),
            order.first.eq(sum_first),
            order.result.eq(sum_last),
            order.window_first.eq(
                (counts["window_x"] == layer.window_x_last)
                & (counts["window_y"] == layer.window_y_last)
            ),
            order.window_last.eq(window_last),
        ]
        return order

    def _address(
        self, m: Module, layer: data.View, fire: Value, layer_first: Value, advancing: dict,
        pass_first: Value, order: data.View,
    ) -> None:  # fmt: skip
        """The address of the vector, and its way out: first the step behind it, then the sum."""
        width = self.cfg.address_width
        step, base, address = Signal(width), Signal(width), Signal(width)
        first, emit = Signal(), Signal()
        fired = Signal()
        chosen = Signal(layouts.vector(self.cfg))
        for n in isa.LEVELS:
            with m.If(advancing[n]):
                m.d.sync += step.eq(layer[f"step_{n}"])
        m.d.sync += [
            fired.eq(fire),
            first.eq(layer_first),
            emit.eq(self.emit_taken),
            base.eq(
                Mux(
                    self.emit_taken,
                    self.emit_address,
                    layer.source + Mux(layer.src_input, self.input_base, 0),
                )
            ),
            chosen.swap.eq(fire & pass_first),
            chosen.accumulate.eq(order),
        ]
        here = Mux(emit | first, base, address)
        with m.If(fired):
            m.d.sync += address.eq(here + step)
        m.d.sync += [
            self.vector_valid.eq(fired),
            self.vector.eq(chosen),
            self.vector.address.eq(here),
            self.vector.emit.eq(emit),
        ]


def _all(conditions):
    return Cat(*conditions).all()


def _first_false(m: Module, last: dict, prefix: str = "advance") -> dict[str, Signal]:
    """For each loop, whether it is the innermost that is not at its last turn."""
    found, inner = {}, 1
    for name, at_last in last.items():
        found[name] = Signal(name=f"{prefix}_{name}")
        m.d.comb += found[name].eq(inner & ~at_last)
        inner = inner & at_last
    return found
