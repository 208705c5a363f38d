"""Reads the program and keeps the next instruction ready."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .count import one_less_or


class Sequencer(wiring.Component):
    """Fetches instruction after instruction, a word a cycle, while the one before is at work.

    Without ``cfg.prefetch`` it fetches once the one before is over. Nobody copies the instruction
    then, and the steps of the source are not even kept here: nothing else reads the program
    memory, so it gives them when they are asked for. Those of the target are in a memory of their
    own.

    Attributes
    ----------
    running : In
        A run is going on; else the host may reach the memory.
    batches, batches_set : In
        The next run goes through the program so many times, one or more.
    start : In
        Go.
    layer, valid : Out
        The next layer instruction is complete.
    single, singles, double, emits : Out
        Which of its loops, in the order of `isa.LEVELS`, have one turn; have one and so have those
        inside; have two turns. It has an output.
    first : Out
        It is the first of the program.
    taken : In
        It is no longer needed: the next cycle may already bring words of another.
    level, step : In, Out
        Without ``cfg.prefetch``, while there is an instruction: a loop by its number in
        `isa.LEVELS`, and a cycle later the source's step of it.
    result_level, move : In, Out
        The same of `isa.RESULT_LEVELS` and the target's step.
    finished : Out
        The last batch has been handed out to its end; holds while `running` does.
    bus : In
        The host's side.
    """

    FETCH = isa.length(isa.Op.LAYER) + 3
    """Cycles from one instruction being taken to the next being ready."""
    END_FETCH = 3
    """More for an ``END`` in between."""

    running: Signal
    start: Signal
    batches: Signal
    batches_set: Signal
    layer: data.View
    single: Signal
    singles: Signal
    double: Signal
    emits: Signal
    valid: Signal
    first: Signal
    taken: Signal
    level: Signal
    step: Signal
    result_level: Signal
    move: Signal
    finished: Signal
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "running":      In(1),
            "start":        In(1),
            "batches":      In(32),
            "batches_set":  In(1),
            "layer":        Out(isa.layer_layout(cfg)),
            "single":       Out(len(isa.LEVELS)),
            "singles":      Out(len(isa.LEVELS)),
            "double":       Out(len(isa.LEVELS)),
            "emits":        Out(1),
            "valid":        Out(1),
            "first":        Out(1),
            "taken":        In(1),
            "level":        In(range(len(isa.LEVELS))),
            "step":         Out(cfg.address_width),
            "result_level": In(range(len(isa.RESULT_LEVELS))),
            "move":         Out(cfg.address_width),
            "finished":     Out(1),
            "bus":          In(layouts.host_bus(cfg, isa.Space.PROGRAM)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        m.submodules.memory = memory = Memory(shape=layouts.WORD, depth=cfg.program_depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        pc = Signal(range(cfg.program_depth))
        m.d.comb += [
            read.addr.eq(pc),
            self.step.eq(read.data),
            write.addr.eq(self.bus.row),
            write.data.eq(self.bus.w_data),
            write.en.eq(self.bus.write),
        ]
        if cfg.prefetch:
            # Never reset, and all that reads the memory: so it is the block RAM's own.
            word = Signal(layouts.WORD, reset_less=True)
            m.d.sync += word.eq(read.data)
            m.d.comb += self.bus.r_data.eq(word)
        else:
            m.d.sync += self.bus.r_data.eq(read.data)
            # The counter stands behind the instruction. The loop is known late, so that nothing is
            # chosen behind the sum.
            steps = Signal.like(pc, reset_less=True)
            m.d.sync += steps.eq(
                pc + isa.LAYER_FIELDS["step_window_x"].word - isa.length(isa.Op.LAYER)
            )
            base, level = Signal.like(pc), Signal.like(self.level)
            m.d.comb += [
                base.eq(Mux(self.valid, steps, pc)),
                level.eq(Mux(self.valid, self.level, 0)),
                read.addr.eq(base + level),
            ]

        words = Signal(data.ArrayLayout(32, isa.length(isa.Op.LAYER)), reset_less=True)
        # The last word comes two cycles before `valid`, so there is time to compare.
        m.d.comb += self.layer.eq(words)
        single = Cat(self.layer[f"{n}_last"] == 0 for n in isa.LEVELS)
        m.d.sync += [
            self.single.eq(single),
            self.singles.eq(Cat(single[: i + 1].all() for i in range(len(single)))),
            self.double.eq(Cat(self.layer[f"{n}_last"] == 1 for n in isa.LEVELS)),
            self.emits.eq(self.layer.emit_words != 0),
        ]
        asked = Signal(range(isa.length(isa.Op.LAYER) + 1))
        """Words of the instruction whose address has been given."""
        came = Signal.like(asked)
        """Words of it that are there."""
        coming = Signal()
        if not cfg.prefetch:
            self._moves(m, came, coming, read.data)
        batches_left = Signal(32)
        ended = Signal()

        # Those of the next run come only when none goes on.
        with m.If(self.batches_set | ended):
            m.d.sync += batches_left.eq(one_less_or(batches_left, self.running, self.batches))

        last = isa.length(isa.Op.LAYER)
        op = isa.LAYER_FIELDS["op"]
        # The first has just come when it is asked for.
        first_word = word if cfg.prefetch else words[0]
        over = Signal()
        """What has come is the end, or no instruction at all: anything else would be run as nobody
        wrote it."""
        fetching = Signal()
        more = Signal()
        m.d.comb += [
            over.eq((came == 1) & (first_word[: op.width] != isa.Op.LAYER.value)),
            more.eq(fetching & (asked != last)),
        ]
        # Without a condition on all of it: that would come late.
        m.d.sync += [
            asked.eq(Mux(fetching & ~over, asked + more, 0)),
            came.eq(Mux(fetching & ~over, came + coming, 0)),
            coming.eq(more & ~over),
        ]
        if cfg.prefetch:
            # Words move up as others come, the last of which has just come or was kept.
            arrived = Signal()
            kept = Signal.like(word)
            newest = Mux(arrived, word, kept)
            above = Signal(len(words.as_value()) - len(word), reset_less=True)
            m.d.comb += words.eq(Cat(above, newest))
            m.d.sync += [arrived.eq(coming), kept.eq(newest)]
            with m.If(coming):
                m.d.sync += above.eq(words.as_value()[len(word) :])
        else:
            with m.If(coming):
                # Most of the words are not kept at all.
                m.d.sync += words[came].eq(read.data)

        with m.FSM():
            with m.State("STOPPED"):
                m.d.sync += pc.eq(self.bus.row)
                with m.If(self.start):
                    m.d.sync += [pc.eq(0), self.first.eq(1)]
                    m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(self.valid):
                    # `taken` comes late: nothing depends on it that need not.
                    with m.If(self.taken):
                        m.d.sync += [self.valid.eq(0), self.first.eq(0)]
                with m.Else():
                    m.d.comb += fetching.eq(1)
                    with m.If(more):
                        m.d.sync += pc.eq(pc + 1)
                    with m.If(over):
                        m.d.sync += [pc.eq(0), self.first.eq(1)]
                        m.d.comb += ended.eq(1)
                        with m.If(batches_left == 1):
                            m.next = "FINISHED"
                    with m.Elif(came == last):
                        m.d.sync += self.valid.eq(1)
            with m.State("FINISHED"):
                m.d.comb += self.finished.eq(1)
                with m.If(~self.running):
                    m.next = "STOPPED"
        return m

    def _moves(self, m: Module, came: Signal, coming: Signal, word: Value) -> None:
        """Keeps the steps of the target as their words come by."""
        count = len(isa.RESULT_LEVELS)
        first = isa.LAYER_FIELDS[f"move_{isa.RESULT_LEVELS[0]}"].word
        m.submodules.moves = moves = Memory(
            shape=self.cfg.address_width, depth=count, init=[], attrs={"ram_style": "block"}
        )
        read, write = moves.read_port(), moves.write_port()
        m.d.comb += [
            write.addr.eq(came - first),
            write.data.eq(word),
            write.en.eq(coming & (came >= first) & (came < first + count)),
            read.addr.eq(self.result_level),
            self.move.eq(read.data),
        ]
