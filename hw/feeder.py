"""The loop nest of a layer: which slice enters the array in each cycle, and what becomes of its
sums."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .accumulator import Accumulators
from .config import Config

INNER = 4
"""Loops within a pass: those of the window and of the positions."""

AHEAD = 2
"""The number of the turn that a loop compares with its last."""

WINDOW, SUM = ("window_x", "window_y"), ("slice", "kernel_y")
"""Loops over what is pooled into a result, and over what is summed in an accumulator."""


class Feeder(wiring.Component):
    """Decides, cycle by cycle, whether the next vector of the layer may go, and sends it.

    A vector waits for its weights (first of a pass), for an image, for the results of earlier
    layers that it may read, for the output of an earlier run of the program, and for room for its
    result; `stalls` says for which, in the order of `isa.COUNTERS`. The decision is taken `LATENCY`
    cycles before the vector leaves, so that its address has registers to be made in.

    Attributes
    ----------
    layer, layer_valid, layer_taken : In, In, Out
        The next layer instruction; it starts in the cycle behind `layer_taken`.
    layer_free : Out
        It is no longer needed here: with ``cfg.prefetch`` it has been copied, without it its last
        vector went in the cycle before.
    level, step : Out, In
        Without ``cfg.prefetch``: the loop that advances behind this vector, and a cycle later the
        source's step of it.
    result_level, move : Out, In
        The same of results: a loop by its number in `isa.RESULT_LEVELS`, and the target's step.
    single, singles, double, emits : In
        Which of its loops, in the order of `isa.LEVELS`, have one turn; have one and so have those
        inside; have two turns. It has an output.
    weights_taken : In
        The loader has copied the instruction already.
    weights_ready, swap : In, Out
        A pass may start; it starts.
    more_tiles, more_blocks : Out
        Behind the pass that starts, others of this block follow; behind this block, others do.
    input_ready, input_base, input_release : In, In, Out
        The oldest input slot is full; its address; its last vector went in the cycle before.
    emit_busy, emit_read, emit_address, emit_taken : In, In, In, Out
        An output is being sent; a word of it is wanted, from there; it is being read instead of a
        slice.
    emit_start, emit_source, emit_words, emit_after : Out
        The layer that ended in the cycle before has an output, and so many results are before it.
    result_push, result : Out
        The vector of the cycle before has a result on its way: where it goes.
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

    FREED = 1
    """Cycles from the last vector of a layer to `layer_free`, without ``cfg.prefetch``."""

    layer: data.View
    single: Signal
    singles: Signal
    double: Signal
    emits: Signal
    layer_valid: Signal
    layer_taken: Signal
    layer_free: Signal
    level: Signal
    step: Signal
    result_level: Signal
    move: Signal
    weights_taken: Signal
    weights_ready: Signal
    swap: Signal
    more_tiles: Signal
    more_blocks: Signal
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
            "layer":         In(isa.layer_layout(cfg)),
            "single":        In(len(isa.LEVELS)),
            "singles":       In(len(isa.LEVELS)),
            "double":        In(len(isa.LEVELS)),
            "emits":         In(1),
            "layer_valid":   In(1),
            "layer_taken":   Out(1),
            "layer_free":    Out(1),
            "level":         Out(range(len(isa.LEVELS))),
            "step":          In(address),
            "result_level":  Out(range(len(isa.RESULT_LEVELS))),
            "move":          In(address),
            "weights_taken": In(1),
            "weights_ready": In(1),
            "swap":          Out(1),
            "more_tiles":    Out(1),
            "more_blocks":   Out(1),
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

        prefetch = self.cfg.prefetch
        layer = Signal(isa.layer_layout(self.cfg), reset_less=True) if prefetch else self.layer
        active = Signal()
        # The same as `~active`, for the many registers that copy the instruction.
        copies = Signal(init=1)
        layer_first = Signal()
        pass_first = Signal()
        sum_first = Signal()
        counts = {
            n: Signal(layer[f"{n}_last"].shape(), name=f"{n}_left", reset_less=True)
            for n in isa.LEVELS
        }
        first = {n: Signal(name=f"{n}_at_first", reset_less=True) for n in WINDOW}
        # The decision is the longest way of the core: what it needs is compared a cycle before.
        last = {n: Signal(name=f"{n}_at_last", reset_less=True) for n in isa.LEVELS}
        has_result, sum_last = (
            Signal(name=name, reset_less=True) for name in ("has_result", "sum_last")
        )
        # The loops inside of a level, and in the end all of them, are at their last turn.
        done = [
            Const(1),
            *(Signal(name=f"{n}_done", reset_less=True) for n in isa.LEVELS),
        ]
        pass_last, tile_last, ends = done[INNER], done[INNER + 1], done[-1]
        advancing = {n: done[i] & ~last[n] for i, n in enumerate(isa.LEVELS)}
        fire = Signal()
        # Between two layers a cycle is left free: the decision to send the last vector is so late
        # that what belongs to the next one could not be enabled in time.
        m.d.comb += [
            self.layer_taken.eq(self.layer_valid & self.weights_taken & ~active),
            self.fed.eq(fire),
            self.swap.eq(fire & pass_first),
        ]
        m.d.sync += self.input_release.eq(fire & ends & layer.release_input)
        if prefetch:
            m.d.comb += self.layer_free.eq(self.layer_taken)
        else:
            m.d.sync += self.layer_free.eq(fire & ends)
            with m.If(self.layer_free):
                m.d.comb += self.layer_taken.eq(0)

        push = fire & has_result
        full, some_earlier, idle, lacking = self._pending(m, active, push)
        timer = Signal(layer.pass_min.shape())
        assert 1 << len(timer) >= Accumulators.HAZARD
        timing = Signal()
        # Waits of the first vector of a layer.
        waits_input = Signal()
        waits_emit = Signal()
        slack = Signal(signed(len(self.layer.allow) + 1), reset_less=True)
        """How many more results of earlier layers may be missing: `allow` less those that are."""
        may_read = ~some_earlier | ~slack[-1]
        # In the order of isa.COUNTERS; the first that holds is the one that is counted.
        causes = Cat(
            pass_first & ~self.weights_ready & active,
            waits_input & ~self.input_ready & active,
            ((pass_first & timing) | ~may_read) & active,
            has_result & full & active,
            (waits_emit & self.emit_busy & active) | self.emit_read,
            ~active,
        )
        m.d.comb += [
            fire.eq(~causes.any()),
            self.stalls.eq(causes & -causes),
            # One word in two cycles at the most, and none where a slice would go first: never both.
            self.emit_taken.eq(self.emit_read),
            self.idle.eq(~active & idle),
        ]

        # A vector that is late within its pass makes the next pass as late: an accumulator must be
        # written before it is read, whoever had to wait in between.
        with m.If(timing & (fire | pass_first)):
            m.d.sync += [timer.eq(timer - 1), timing.eq(timer != 1)]
        with m.If(fire & pass_first):
            m.d.sync += [timer.eq(layer.pass_min), timing.eq(layer.pass_min != 0)]
        with m.If(fire | ~active):
            m.d.sync += [
                layer_first.eq(~active),
                pass_first.eq(pass_last | ~active),
                waits_input.eq(~active & self.layer.wait_input),
                waits_emit.eq(~active & (self.layer.wait_emit | self.emits)),
            ]
            with m.If(~active | advancing["block"]):
                m.d.sync += sum_first.eq(1)
            with m.Elif(advancing["slice"] | advancing["kernel_y"]):
                m.d.sync += sum_first.eq(0)
        # What belongs to a layer is copied before it is known whether there is one.
        with m.If(~active):
            m.d.sync += [active.eq(self.layer_taken), copies.eq(~self.layer_taken)]
        with m.Elif(fire & ends):
            m.d.sync += [active.eq(0), copies.eq(1)]
        if prefetch:
            with m.If(copies):
                m.d.sync += layer.eq(self.layer)

        after = self._advance(m, layer, fire, active, copies, counts, last, first, done)
        with m.If(fire | ~active):
            m.d.sync += [
                sum_last.eq(_all(after[n] for n in SUM)),
                self.more_tiles.eq(~_all(after[n] for n in ("tile", *SUM))),
                has_result.eq(_all(after[n] for n in (*SUM, *WINDOW))),
            ]
        self._slack(m, layer, active, copies, fire, after, tile_last, slack, some_earlier, lacking)
        self._result(m, layer, layer_first, push, sum_last & pass_last, last)
        self._emit(m, layer, fire & ends, active)
        order = Signal(layouts.accumulate(self.cfg))
        m.d.comb += [
            order.valid.eq(fire),
            order.window_first.eq(_all(first.values())),
            order.first.eq(sum_first),
            order.result.eq(sum_last),
            order.window_last.eq(_all(last[n] for n in WINDOW)),
            order.pool_sum.eq(layer.pool_sum),
            self.more_blocks.eq(~last["block"]),
        ]
        accumulator = self._accumulator(m, fire, active, tile_last)
        self._address(m, layer, fire, layer_first, advancing, pass_first, order, accumulator)
        return m

    def _pending(
        self, m: Module, active: Value, push: Value
    ) -> tuple[Signal, Signal, Signal, Signal]:
        """Counts results on their way, and those of them that earlier layers sent. Returns whether
        there is room for no more, whether there are any of earlier layers, whether there are none
        at all, and the negative of their number."""
        depth = self.cfg.result_depth
        pending = Signal(range(depth + 1))
        earlier = Signal.like(pending)
        full = Signal()
        some_earlier = Signal()
        none = Signal(init=1)
        lacking = Signal(signed(len(pending) + 1))
        one = pending == 1
        m.d.comb += self.emit_after.eq(pending - self.retired)
        with m.If(push & ~self.retired):
            m.d.sync += [pending.eq(pending + 1), full.eq(pending == depth - 1), none.eq(0)]
            m.d.sync += lacking.eq(lacking - 1)
        with m.Elif(~push & self.retired):
            m.d.sync += [pending.eq(pending - 1), full.eq(0), none.eq(one)]
            m.d.sync += lacking.eq(lacking + 1)
        with m.If(~active):
            m.d.sync += [
                earlier.eq(self.emit_after),
                some_earlier.eq(~none & ~(one & self.retired)),
            ]
        with m.Elif(self.retired & some_earlier):
            m.d.sync += [earlier.eq(earlier - 1), some_earlier.eq(earlier != 1)]
        return full, some_earlier, none, lacking

    def _slack(
        self, m: Module, layer: data.View, active: Value, copies: Value, fire: Value, after: dict,
        tile_last: Value, slack: Signal, some_earlier: Signal, lacking: Signal,
    ) -> None:  # fmt: skip
        """Keeps the difference between `allow` and the results of earlier layers on their way, so
        that the decision needs its sign alone."""
        # Which of these loops would move on is known a cycle before whether one does.
        step = Signal(signed(len(layer.allow_slice)), reset_less=True)
        at_work = {
            n: Mux(copies, self.layer[f"allow_{n}"], layer[f"allow_{n}"]) for n in isa.ALLOW_LEVELS
        }
        by_slice, by_kernel_y, by_block = at_work.values()
        with m.If(fire | ~active):
            m.d.sync += step.eq(
                Mux(~after["slice"], by_slice, Mux(~after["kernel_y"], by_kernel_y, by_block))
            )
        start, missing, move = (Signal.like(slack) for _ in range(3))
        retired = Signal()
        m.d.comb += [
            start.eq(Mux(active, slack, self.layer.allow.as_signed())),
            missing.eq(Mux(active, 0, lacking)),
            move.eq(step),
            retired.eq(self.retired & (some_earlier | ~active)),
        ]
        # The bit below the others carries what has been retired. The decision comes last: it
        # chooses between two sums.
        moved, stays = (
            (Cat(retired, a) + Cat(retired, b))[1 : len(slack) + 1]
            for a, b in ((slack, move), (start, missing))
        )
        m.d.sync += slack.eq(Mux(fire & tile_last, moved, stays))

    def _advance(
        self, m: Module, layer: data.View, fire: Value, active: Value, copies: Value,
        counts: dict, last: dict, first: dict, done: list[Value],
    ) -> dict[str, Value]:  # fmt: skip
        """Counts the loops: one moves on when those inside it are at their last turn, and starts
        again behind its own. Returns which will be at their last turn behind this vector.

        A count is two turns ahead, so that it is compared a turn before it is asked for, and it
        starts again at a constant, which costs no choice.
        """
        after, nexts, loops = {}, [], []
        for i, n in enumerate(isa.LEVELS):
            count, inner = counts[n], done[i]
            single, singles, double = (
                self._kept(m, f"{n}_{what}", ports[i], copies)
                for what, ports in (
                    ("single", self.single),
                    ("singles", self.singles),
                    ("double", self.double),
                )
            )
            loops.append(singles)
            next_last = Signal(name=f"{n}_next_last", reset_less=True)
            moved = Signal(name=f"{n}_moved")
            again = ~active | last[n]
            m.d.comb += moved.eq(Mux(again, single, next_last))
            with m.If((fire & inner) | ~active):
                m.d.sync += [
                    last[n].eq(moved),
                    next_last.eq(Mux(again, double, count == layer[f"{n}_last"])),
                    count.eq(Mux(again, AHEAD, count + 1)),
                ]
                if n in WINDOW:
                    m.d.sync += first[n].eq(again)
            after[n] = Mux(inner | ~active, moved, last[n])
            nexts.append(next_last)
        # The loops inside of a level can only all be at their last turn behind this vector if it is
        # the innermost one of more than a turn that moves on: any other lets that start again.
        innermost = [(loops[i - 1] if i else Const(1)) & ~loops[i] for i in range(len(isa.LEVELS))]
        comes = Cat(here & there for here, there in zip(innermost, nexts, strict=True)).any()
        rest = [last[n] | here for n, here in zip(isa.LEVELS, innermost, strict=True)]
        with m.If(fire | ~active):
            m.d.sync += [
                whole.eq(loops[i] | (active & comes & _all(rest[: i + 1])))
                for i, whole in enumerate(done[1:])
            ]
        return after

    def _kept(self, m: Module, name: str, port: Value, copies: Value) -> Value:
        """What the sequencer says of the layer: copied, where the next one is fetched meanwhile."""
        if not self.cfg.prefetch:
            return port
        kept = Signal.like(port, name=name, reset_less=True)
        with m.If(copies):
            m.d.sync += kept.eq(port)
        return Mux(copies, port, kept)

    def _result(
        self, m: Module, layer: data.View, layer_first: Value, push: Value, tile_done: Value,
        last: dict,
    ) -> None:  # fmt: skip
        """Where results go and what requantizes them, a cycle behind the decision."""
        done = Signal()
        tile_last = Signal()
        moving = _first_false(m, {n: last[n] for n in isa.RESULT_LEVELS}, "move")
        move = self._chosen(m, "move", layer, moving, self.result_level, self.move)
        m.d.sync += [
            self.result_push.eq(push),
            self.result.beats_last.eq(Mux(last["tile"], layer.tail_beats_last, layer.beats_last)),
            done.eq(push & tile_done),
            tile_last.eq(last["tile"]),
        ]
        target, table = self.result.target, self.result.table
        with m.If(layer_first | self.result_push):
            m.d.sync += target.eq(Mux(layer_first, layer.target, target + move))
        with m.If(layer_first | done):
            m.d.sync += table.eq(
                Mux(layer_first | tile_last, layer.table, table + self.result.beats_last + 1)
            )

    def _emit(self, m: Module, layer: data.View, ended: Value, active: Value) -> None:
        emits = self.emits
        if self.cfg.prefetch:
            emits = Signal(reset_less=True)
            with m.If(~active):
                m.d.sync += emits.eq(self.emits)
        m.d.sync += self.emit_start.eq(ended & emits)
        m.d.comb += [
            self.emit_source.eq(layer.emit_source),
            self.emit_words.eq(layer.emit_words),
        ]

    def _accumulator(self, m: Module, fire: Value, active: Value, tile_last: Value) -> Signal:
        """Address of the vector's accumulators, a cycle behind the decision: a count of the vectors
        of a block's turn.

        It is far from the decision, whose way is long enough: beside the accumulators.
        """
        address = Signal(range(self.cfg.acc_depth), name="accumulator", reset_less=True)
        counts = Signal()
        restarts = Signal()
        m.d.sync += [counts.eq(fire | ~active), restarts.eq(tile_last | ~active)]
        with m.If(counts):
            m.d.sync += address.eq(Mux(restarts, 0, address + 1))
        return address

    def _address(
        self, m: Module, layer: data.View, fire: Value, layer_first: Value, advancing: dict,
        pass_first: Value, order: data.View, accumulator: Value,
    ) -> None:  # fmt: skip
        """The address of the vector, and its way out: first the step behind it, then the sum."""
        width = self.cfg.address_width
        step = self._chosen(m, "step", layer, advancing, self.level, self.step)
        base = Signal(width)
        address = Signal(width)
        first = Signal()
        emit = Signal()
        fired = Signal()
        chosen = Signal(layouts.vector(self.cfg))
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
            self.vector.accumulate.address.eq(accumulator),
            self.vector.emit.eq(emit),
        ]

    def _chosen(
        self, m: Module, prefix: str, layer: data.View, chosen: dict, number: Signal, there: Signal
    ) -> Signal:
        """The step of the loop that was chosen in the cycle before: kept here, or `there`, where it
        is asked for by its number."""
        if not self.cfg.prefetch:
            choices = list(chosen.values())
            m.d.comb += number.eq(
                Cat(
                    Cat(c for i, c in enumerate(choices) if i >> bit & 1).any()
                    for bit in range(len(number))
                )
            )
            return there
        step = Signal(self.cfg.address_width, name=prefix, reset_less=True)
        for n, choice in chosen.items():
            with m.If(choice):
                m.d.sync += step.eq(layer[f"{prefix}_{n}"])
        return step


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
