"""Carries out packets, one after the other, and answers them."""

import functools
import operator
from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .arguments import Arguments
from .config import VERSION, Config
from .count import one_less_or
from .isa import Cause, Packet, Reply, Space
from .packets import RECEIVED

ADDRESSED = len(("row", "count"))
"""Words of payload before the rows of a ``WRITE``."""

READ_WAIT = layouts.HostBus.READ_LATENCY + 2
"""Cycles from choosing a row to its word: the bus begins and ends with a register."""


class Decoder(wiring.Component):
    """Checks every packet before it changes anything, and answers each of a refused one's with why.

    Attributes
    ----------
    i : In
        Whole packets.
    o : Out
        Replies.
    buses : Out, one for each `isa.Space`
        The memories.
    running : In
        A run is going on.
    batches, batches_set : Out
        The batches of the run that comes next, if any.
    start : Out
        Start it.
    ring : Out
        First byte of the ring of input slots, words of a slot, slots: from `start` on, as long as
        the run goes on.
    reset_waits : In
        A ``RESET`` stands behind the present packet. Input that is not taken at once is dropped
        from then on, lest it hold up the reset that forgets it anyway.
    input : Out
        Words of input. What is offered stays until it is taken, unless the run ends or a reset
        waits.
    counters : In
        See `isa.counters`.
    reset : Out
        Stop the run.
    """

    i: stream.Interface
    o: stream.Interface
    buses: list[wiring.PureInterface]
    running: Signal
    batches: Signal
    batches_set: Signal
    start: Signal
    ring: data.View
    reset_waits: Signal
    input: stream.Interface
    counters: data.View
    reset: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "i":           In(stream.Signature(RECEIVED)),
            "o":           Out(layouts.LINK_STREAM),
            **{f"bus_{s.name.lower()}": Out(layouts.host_bus(cfg, s)) for s in Space},
            "running":     In(1),
            "batches":     Out(32),
            "batches_set": Out(1),
            "start":       Out(1),
            "ring":        Out(layouts.ring(cfg)),
            "reset_waits": In(1),
            "input":       Out(stream.Signature(32)),
            "counters":    In(data.ArrayLayout(32, len(isa.counters(cfg)))),
            "reset":       Out(1),
        })  # fmt: skip
        self.buses = [getattr(self, f"bus_{s.name.lower()}") for s in Space]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arguments = arguments = Arguments(self.cfg)
        header = Signal(isa.HEADER)
        count = _Left(m, Signal(range(self.cfg.packet_words + 1), name="left"))
        """Words of the packet still to come, or of the answer still to go."""
        taking = Signal()
        """They are words of input."""
        cause = Signal(4)
        """Why the packet is refused, or 0."""
        named = {p: Signal(name=f"is_{p.name.lower()}") for p in Packet}
        refused = Signal()
        # The states wait for these, which are right from `CHECK` on, and a cycle behind `cause`.
        m.d.sync += refused.eq(cause != 0)
        m.d.sync += [signal.eq(header.opcode == p.value) for p, signal in named.items()]
        input_left = Signal(32)
        """Words that the run still takes; outside of a run it means nothing."""
        input_goes = Signal()
        word = self.i.p.data

        dropping = Signal()
        """Of this run no more input is taken: a word was missed."""
        with m.If(self.start):
            m.d.sync += dropping.eq(0)
        with m.If(arguments.total_set | input_goes):
            m.d.sync += input_left.eq(one_less_or(input_left, self.running, word))

        answer = layouts.LINK_STREAM.create()
        self._reply(m, answer)
        memory, read_word = self._select(m, header, arguments)
        self._word_of_row(m, memory, arguments)
        words = self._length(m, count, named, refused)
        heading = self._tell(m, answer, header, cause, read_word, count, named, refused)
        # Arguments are no copies for a run: while one goes on, no packet that has any gets so far
        # that they would change.
        m.d.comb += [
            arguments.word.eq(word),
            self.batches.eq(word),
            self.batches_set.eq(arguments.batches_set),
            self.ring.address.eq(arguments.row),
            self.ring.words.eq(arguments.rows),
            self.ring.slots.eq(arguments.slots),
        ]
        m.d.sync += self.start.eq(0)
        # A run that ends without its input must not leave the packet in the way.
        wanted = Signal()
        m.d.comb += [
            wanted.eq(taking & self.running),
            self.input.payload.eq(word),
            self.input.valid.eq(self.i.valid & wanted & ~dropping),
        ]
        with m.If(self.input.valid & ~self.input.ready & self.reset_waits):
            m.d.sync += dropping.eq(1)
        with m.If(wanted):
            m.d.comb += self.i.ready.eq(self.input.ready | dropping)
            with m.If(self.i.valid & self.i.ready):
                count.step()
                m.d.comb += input_goes.eq(1)
                m.d.sync += taking.eq(~count.last)
        with m.FSM():
            with m.State("HEADER"):
                incoming = data.View(isa.HEADER, word)
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [header.eq(incoming), cause.eq(self.i.p.cause)]
                count.set(incoming.length)
                with m.If(self.i.valid):
                    m.next = "LOOK"
            self._check(m, header, cause, count, input_left, taking, arguments, named)
            with m.State("ARGUMENTS"):
                with m.If(arguments.complete):
                    m.next = "MEASURE_ROWS"
                    with m.If(arguments.run):
                        m.next = "MEASURE_RUN"
                with m.Else():
                    m.d.comb += [self.i.ready.eq(1), arguments.take.eq(self.i.valid)]
                    with m.If(self.i.valid):
                        count.step()
            self._memories(m, named, cause, arguments, memory, count)
            self._run(m, cause, arguments)
            with m.State("INPUT"):
                with m.If(~count.some):
                    m.next = "HEADER"
                with m.Elif(~self.running):
                    m.d.sync += [cause.eq(Cause.UNEXPECTED.value), taking.eq(0)]
                    m.next = "REFUSE"
            self._answers(m, answer, memory, count, words, heading, named, refused)
        return m

    def _reply(self, m: Module, answer: stream.Interface) -> None:
        """A register behind the answers, which are chosen from many; it takes one in two cycles."""
        with m.If(self.o.valid):
            m.d.sync += self.o.valid.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [self.o.valid.eq(answer.valid), self.o.payload.eq(answer.payload)]
        m.d.comb += answer.ready.eq(~self.o.valid)

    def _refuse(self, m: Module, cause: Signal, why: Cause) -> None:
        m.d.sync += cause.eq(why.value)
        m.next = "REFUSE"

    def _check(
        self, m: Module, header: data.View, cause: Signal, count: "_Left", input_left: Signal,
        taking: Signal, arguments: Arguments, named: dict[Packet, Signal],
    ) -> None:  # fmt: skip
        """What the header alone tells: first numbers are compared, then it is decided."""
        # No whole packet is longer than this counts.
        length, reading = count.left, header.opcode == Packet.READ.value
        no_addressed = Signal()
        no_run = Signal()
        too_much = Signal()
        no_space = Signal()
        m.d.sync += [
            no_addressed.eq((length < ADDRESSED) | (reading & (length != ADDRESSED))),
            no_run.eq(length != len(isa.RUN_WORDS)),
            too_much.eq(~input_left[len(length) :].any() & (length > input_left[: len(length)])),
            no_space.eq(
                (header.space >= len(Space)) | (~reading & (header.space == Space.TRACE.value))
            ),
        ]
        m.d.comb += arguments.run.eq(named[Packet.RUN])
        with m.State("LOOK"):
            m.next = "CHECK"
            with m.If(cause != 0):
                m.next = "PREPARE"
        with m.State("CHECK"):
            m.d.comb += arguments.begin.eq(1)
            with m.If(~Cat(*named.values()).any()):
                self._refuse(m, cause, Cause.OPCODE)
            for packet, then in (
                (Packet.ID, "PREPARE"),
                (Packet.COUNTERS, "PREPARE"),
                (Packet.RESET, "RESET"),
            ):
                with m.If(named[packet]):
                    m.next = then
                    with m.If(count.some):
                        self._refuse(m, cause, Cause.LENGTH)
            with m.If(named[Packet.WRITE] | named[Packet.READ]):
                m.next = "ARGUMENTS"
                with m.If(no_addressed):
                    self._refuse(m, cause, Cause.LENGTH)
                with m.Elif(no_space):
                    self._refuse(m, cause, Cause.SPACE)
                with m.Elif(self.running):
                    self._refuse(m, cause, Cause.BUSY)
            with m.If(named[Packet.RUN]):
                m.next = "ARGUMENTS"
                with m.If(no_run):
                    self._refuse(m, cause, Cause.LENGTH)
                with m.Elif(self.running):
                    self._refuse(m, cause, Cause.BUSY)
            with m.If(named[Packet.INPUT]):
                m.next = "INPUT"
                m.d.sync += taking.eq(self.running & count.some & ~too_much)
                with m.If(~self.running | too_much):
                    self._refuse(m, cause, Cause.UNEXPECTED)

    def _select(
        self, m: Module, header: data.View, arguments: Arguments
    ) -> tuple[data.View, Signal]:
        """Wires the buses, and returns what is known of the memory that the header names, and a
        word of it."""
        longest = self.cfg.packet_words.bit_length()
        most = max(isa.row_words(self.cfg, space) for space in Space)
        memory = Signal(
            data.StructLayout(
                {
                    "total": range((1 << longest) * most),
                    "depth": len(arguments.row),
                    "words_last": range(most),
                    "word": range(most),
                    "write": 1,
                    "read": 1,
                    "begin": 1,
                }
            )
        )
        # There are no others once the header has been checked.
        named = header.space[: (len(Space) - 1).bit_length()]
        row = Signal.like(arguments.row)
        m.d.comb += row.eq(arguments.row)
        for space, bus in zip(Space, self.buses, strict=True):
            words = isa.row_words(self.cfg, space)
            # In registers: from here to the last block RAM is the longest wire of the core.
            m.d.sync += [
                bus.row.eq(row),
                bus.word.eq(memory.word),
                bus.w_data.eq(self.i.p.data),
                bus.write.eq(memory.write & (named == space.value)),
            ]
            with m.If(named == space.value):
                m.d.comb += [
                    memory.total.eq(_times(arguments.rows[:longest], words)),
                    memory.depth.eq(isa.rows(self.cfg, space)),
                    memory.words_last.eq(words - 1),
                ]
        there = [b.r_data for s, b in zip(Space, self.buses, strict=True) if isa.rows(self.cfg, s)]
        r_data = Signal(32, reset_less=True)
        m.d.sync += r_data.eq(Array(there)[named])
        return memory, r_data

    def _word_of_row(self, m: Module, memory: data.View, arguments: Arguments) -> None:
        """Goes from word to word, and from row to row."""
        word = Signal.like(memory.word)
        last_word = Signal()
        goes = Signal()
        m.d.comb += [
            memory.word.eq(word),
            goes.eq(memory.write | memory.read),
            arguments.next_row.eq(goes & last_word),
        ]
        with m.If(goes):
            m.d.sync += [word.eq(word + 1), last_word.eq(word + 1 == memory.words_last)]
        with m.If(memory.begin | arguments.next_row):
            m.d.sync += [word.eq(0), last_word.eq(memory.words_last == 0)]

    def _memories(
        self, m: Module, named: dict[Packet, Signal], cause: Signal, arguments: Arguments,
        memory: data.View, count: "_Left",
    ) -> None:  # fmt: skip
        """``WRITE`` and ``READ``: `count` counts the words to come, or to send."""
        row, rows = arguments.row, arguments.rows
        longest = self.cfg.packet_words
        bits = longest.bit_length()
        # Registers between the arithmetic and the decisions, which are slow together.
        total = count.total
        excess = Signal()
        """It is more than a count of words can be."""
        stop = Signal(len(row) + 1)
        over = Signal()
        too_long = Signal()
        differs = Signal()
        with m.State("MEASURE_ROWS"):
            # More rows than there are words in the longest packet need no exact product.
            m.d.sync += [
                total.eq(memory.total),
                excess.eq(rows[bits:].any() | memory.total[bits:].any()),
                stop.eq(row + rows),
            ]
            m.next = "COMPARE_ROWS"
        with m.State("COMPARE_ROWS"):
            m.d.sync += [
                over.eq(arguments.strange | (stop > memory.depth)),
                differs.eq(excess | (total != count.left)),
                too_long.eq(excess | (total > longest)),
            ]
            m.d.comb += memory.begin.eq(1)
            m.next = "CHECK_ROWS"
        with m.State("CHECK_ROWS"):
            with m.If(over):
                self._refuse(m, cause, Cause.RANGE)
            with m.Elif(named[Packet.WRITE]):
                m.next = "WRITE"
                with m.If(differs):
                    self._refuse(m, cause, Cause.LENGTH)
            with m.Else():
                m.next = "PREPARE"
                with m.If(too_long):
                    self._refuse(m, cause, Cause.RANGE)
        with m.State("WRITE"):
            m.d.comb += [
                self.i.ready.eq(count.some),
                memory.write.eq(self.i.valid & count.some),
            ]
            with m.If(memory.write):
                count.step()
            with m.If(~count.some):
                m.next = "HEADER"

    def _run(self, m: Module, cause: Signal, arguments: Arguments) -> None:
        """``RUN``: the ring of input slots is measured slot by slot, without a multiplier."""
        # In words. A slot of the whole memory behind its last word is refused before the next one.
        size = self.cfg.scratchpad_words
        end = Signal(range(max(2 * size, 1 << len(arguments.row) - 2) + size))
        slots_left = Signal.like(arguments.slots)
        with m.State("MEASURE_RUN"):
            m.d.sync += [end.eq(arguments.row[2:]), slots_left.eq(arguments.slots)]
            m.next = "CHECK_RUN"
        with m.State("CHECK_RUN"):
            m.next = "MEASURE"
            with m.If(arguments.strange):
                self._refuse(m, cause, Cause.RANGE)
        with m.State("MEASURE"):
            m.d.sync += [end.eq(end + arguments.rows), slots_left.eq(slots_left - 1)]
            with m.If(end > size):
                self._refuse(m, cause, Cause.RANGE)
            with m.Elif(slots_left == 0):
                m.d.sync += self.start.eq(1)
                m.next = "HEADER"

    def _tell(
        self, m: Module, answer: stream.Interface, header: data.View, cause: Signal,
        read_word: Signal, count: "_Left", named: dict[Packet, Signal], refused: Signal,
    ) -> Signal:  # fmt: skip
        """What there is to tell, by what was asked; `count` says which word of it.

        Returns what makes it the header of the reply.
        """
        heading = Signal()
        opcode = Signal(8)
        fields = {"length": count.left, "space": Const(0), "opcode": opcode}
        reply = Cat(fields[name] | Const(0, field.width) for name, field in isa.HEADER)
        words = [
            (heading, reply),
            (~heading & refused & ~count.last, cause),
            (~heading & refused & count.last, header),
        ]
        with m.If(refused):
            m.d.comb += opcode.eq(Reply.ERROR.value)
        for packet, kind, told in (
            (Packet.ID, Reply.ID, _from_the_end(self._identity(), count.left)),
            (Packet.COUNTERS, Reply.COUNTERS, _from_the_end([*self.counters], count.left)),
            (Packet.READ, Reply.DATA, read_word),
            (Packet.RESET, Reply.RESET, None),
        ):
            asked = Signal(name=f"asked_{packet.name.lower()}")
            m.d.comb += asked.eq(named[packet] & ~refused)
            with m.If(asked):
                m.d.comb += opcode.eq(kind.value)
            if told is not None:
                words.append((asked & ~heading, told))
        # One at most is chosen: no choice need wait for another.
        chosen = [Mux(there, Value.cast(word), 0) for there, word in words]
        m.d.comb += answer.p.data.eq(functools.reduce(operator.or_, chosen))
        return heading

    def _length(
        self, m: Module, count: "_Left", named: dict[Packet, Signal], refused: Signal
    ) -> Signal:
        """Words behind the header of a reply, a cycle behind what they depend on."""
        words = Signal.like(count.left, reset_less=True)
        m.d.sync += words.eq(0)
        with m.If(refused):
            m.d.sync += words.eq(len(("cause", "header")))
        with m.Elif(named[Packet.READ]):
            m.d.sync += words.eq(count.total)
        with m.Elif(named[Packet.ID]):
            m.d.sync += words.eq(len(self._identity()))
        with m.Elif(named[Packet.COUNTERS]):
            m.d.sync += words.eq(len(self.counters))
        return words

    def _identity(self) -> list[int]:
        return [isa.MAGIC, VERSION, *self.cfg.words()]

    def _answers(
        self, m: Module, answer: stream.Interface, memory: data.View, count: "_Left",
        words: Signal, heading: Signal, named: dict[Packet, Signal], refused: Signal,
    ) -> None:  # fmt: skip
        """Replies: a header and words, each as it is when it is taken."""
        reading = named[Packet.READ]
        wait = Signal(range(READ_WAIT + 1))
        with m.State("REFUSE"):
            # What is left of the packet must go before the next one.
            m.d.comb += self.i.ready.eq(count.some)
            with m.If(~count.some):
                m.next = "PREPARE"
            with m.Elif(self.i.valid):
                count.step()
        with m.State("RESET"):
            m.d.comb += self.reset.eq(1)
            m.next = "PREPARE"
        with m.State("PREPARE"):
            m.next = "COUNT"
        with m.State("COUNT"):
            count.set(words)
            m.next = "ANSWER"
        with m.State("ANSWER"):
            # Not yet compared a cycle before.
            none = count.left == 0
            m.d.comb += [heading.eq(1), answer.valid.eq(1), answer.p.last.eq(none)]
            m.d.sync += wait.eq(0)
            with m.If(answer.ready):
                m.next = "WORDS"
                with m.If(none):
                    m.next = "HEADER"
        with m.State("WORDS"):
            # Those of a memory take a while.
            with m.If(reading & ~refused & (wait != READ_WAIT)):
                m.d.sync += wait.eq(wait + 1)
            with m.Else():
                m.d.comb += [answer.valid.eq(1), answer.p.last.eq(count.last)]
                with m.If(answer.ready):
                    count.step()
                    m.d.comb += memory.read.eq(reading & ~refused)
                    m.d.sync += wait.eq(0)
                    with m.If(count.last):
                        m.next = "HEADER"


class _Left:
    """A count of words, and what is asked of it, compared a cycle before.

    It is not right in the cycle behind `set`.
    """

    def __init__(self, m: Module, left: Signal) -> None:
        self.m, self.left = m, left
        self.total = Signal.like(left, name="total")
        """To be set in the end."""
        self.some = Signal(name="some_left")
        """There are any."""
        self.last = Signal(name="last_left")
        """There is one."""
        self._keeps = Signal(init=1, name="keeps_left")
        self._goes = Signal(name="goes_left")
        self._value = Signal.like(left, name="value_left")
        with m.If(self._goes | ~self._keeps):
            m.d.sync += left.eq(one_less_or(left, self._keeps, self._value))
        m.d.sync += [
            self.some.eq(Mux(self._goes, left != 1, left != 0)),
            self.last.eq(Mux(self._goes, left == 2, left == 1)),
        ]

    def set(self, value: Value | int) -> None:
        """It starts."""
        self.m.d.comb += [self._keeps.eq(0), self._value.eq(value)]

    def step(self) -> None:
        """One fewer."""
        self.m.d.comb += self._goes.eq(1)


def _from_the_end(words: Sequence, left: Value) -> Value:
    """The word behind which so many words come, and itself."""
    return Array([Const(0, 32), *(Value.cast(word) for word in reversed(words))])[left]


def _times(value: Value, count: int) -> Value:
    """``value * count`` as a sum of shifts: synthesis would spend a multiplier block."""
    return sum((value << i for i in range(count.bit_length()) if count >> i & 1), Const(0, 1))
