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
from .current_packet import CurrentPacket
from .isa import Cause, Packet, Reply, Space
from .packets import RECEIVED
from .times import times

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
        packet = CurrentPacket(m, self.cfg)
        count = packet.count
        taking = Signal()
        """They are words of input."""
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
        memory, read_word = self._select(m, packet, arguments)
        self._word_of_row(m, memory, arguments)
        words = self._length(m, packet)
        self._tell(m, answer, packet, read_word)
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
        at = packet.at
        m.d.comb += arguments.take.eq(self.i.valid & arguments.wanted)
        with m.If(arguments.wanted | ((at["WRITE"] | at["REFUSE"]) & count.some)):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                count.step()
        incoming = data.View(isa.HEADER, word)
        with m.If(at["HEADER"]):
            m.d.comb += self.i.ready.eq(1)
            count.set(incoming.length)
        with m.If(at["COUNT"]):
            count.set(words)
        with m.FSM():
            with m.State("HEADER"):
                m.d.sync += [packet.header.eq(incoming), packet.cause.eq(self.i.p.cause)]
                with m.If(self.i.valid):
                    packet.go("LOOK")
            self._check(m, packet, input_left, taking, arguments)
            with m.State("ARGUMENTS"), m.If(~arguments.wanted):
                packet.go("MEASURE_ROWS")
                with m.If(arguments.run):
                    packet.go("MEASURE_RUN")
            self._memories(m, packet, arguments, memory)
            self._run(m, packet, arguments)
            with m.State("INPUT"):
                with m.If(~count.some):
                    packet.go("HEADER")
                with m.Elif(~self.running):
                    m.d.sync += taking.eq(0)
                    packet.refuse(Cause.UNEXPECTED)
            self._answers(m, answer, packet, memory)
        return m

    def _reply(self, m: Module, answer: stream.Interface) -> None:
        """A register behind the answers, which are chosen from many; it takes one in two cycles."""
        with m.If(self.o.valid):
            m.d.sync += self.o.valid.eq(~self.o.ready)
        with m.Else():
            m.d.sync += [self.o.valid.eq(answer.valid), self.o.payload.eq(answer.payload)]
        m.d.comb += answer.ready.eq(~self.o.valid)

    def _check(
        self,
        m: Module,
        packet: CurrentPacket,
        input_left: Signal,
        taking: Signal,
        arguments: Arguments,
    ) -> None:
        """What the header alone tells: first numbers are compared, then it is decided."""
        # No whole packet is longer than this counts.
        header, named, count = packet.header, packet.named, packet.count
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
            packet.go("CHECK")
            with m.If(packet.cause != 0):
                packet.go("PREPARE")
        with m.State("CHECK"):
            with m.If(~Cat(*named.values()).any()):
                packet.refuse(Cause.OPCODE)
            for kind, then in (
                (Packet.ID, "PREPARE"),
                (Packet.COUNTERS, "PREPARE"),
                (Packet.RESET, "RESET"),
            ):
                with m.If(named[kind]):
                    packet.go(then)
                    with m.If(count.some):
                        packet.refuse(Cause.LENGTH)
            with m.If(named[Packet.WRITE] | named[Packet.READ]):
                packet.go("ARGUMENTS")
                with m.If(no_addressed):
                    packet.refuse(Cause.LENGTH)
                with m.Elif(no_space):
                    packet.refuse(Cause.SPACE)
                with m.Elif(self.running):
                    packet.refuse(Cause.BUSY)
                with m.Else():
                    m.d.comb += arguments.begin.eq(1)
            with m.If(named[Packet.RUN]):
                packet.go("ARGUMENTS")
                with m.If(no_run):
                    packet.refuse(Cause.LENGTH)
                with m.Elif(self.running):
                    packet.refuse(Cause.BUSY)
                with m.Else():
                    m.d.comb += arguments.begin.eq(1)
            with m.If(named[Packet.INPUT]):
                packet.go("INPUT")
                m.d.sync += taking.eq(self.running & count.some & ~too_much)
                with m.If(~self.running | too_much):
                    packet.refuse(Cause.UNEXPECTED)

    def _select(
        self, m: Module, packet: CurrentPacket, arguments: Arguments
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
        named = packet.header.space[: (len(Space) - 1).bit_length()]
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
                    memory.total.eq(times(arguments.rows[:longest], words)),
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
        self, m: Module, packet: CurrentPacket, arguments: Arguments, memory: data.View
    ) -> None:
        """``WRITE`` and ``READ``: `count` counts the words to come, or to send."""
        row, rows, count = arguments.row, arguments.rows, packet.count
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
            packet.go("COMPARE_ROWS")
        with m.State("COMPARE_ROWS"):
            m.d.sync += [
                over.eq(arguments.strange | (stop > memory.depth)),
                differs.eq(excess | (total != count.left)),
                too_long.eq(excess | (total > longest)),
            ]
            m.d.comb += memory.begin.eq(1)
            packet.go("CHECK_ROWS")
        with m.State("CHECK_ROWS"):
            with m.If(over):
                packet.refuse(Cause.RANGE)
            with m.Elif(packet.named[Packet.WRITE]):
                packet.go("WRITE")
                with m.If(differs):
                    packet.refuse(Cause.LENGTH)
            with m.Else():
                packet.go("PREPARE")
                with m.If(too_long):
                    packet.refuse(Cause.RANGE)
        m.d.comb += memory.write.eq(packet.at["WRITE"] & self.i.valid & count.some)
        with m.State("WRITE"), m.If(~count.some):
            packet.go("HEADER")

    def _run(self, m: Module, packet: CurrentPacket, arguments: Arguments) -> None:
        """``RUN``: the ring of input slots is measured slot by slot, without a multiplier."""
        # In words. A slot of the whole memory behind its last word is refused before the next one.
        size = self.cfg.scratchpad_words
        end = Signal(range(max(2 * size, 1 << len(arguments.row) - 2) + size))
        slots_left = Signal.like(arguments.slots)
        with m.State("MEASURE_RUN"):
            m.d.sync += [end.eq(arguments.row[2:]), slots_left.eq(arguments.slots)]
            packet.go("CHECK_RUN")
        with m.State("CHECK_RUN"):
            packet.go("MEASURE")
            with m.If(arguments.strange):
                packet.refuse(Cause.RANGE)
        with m.State("MEASURE"):
            m.d.sync += [end.eq(end + arguments.rows), slots_left.eq(slots_left - 1)]
            with m.If(end > size):
                packet.refuse(Cause.RANGE)
            with m.Elif(slots_left == 0):
                m.d.sync += self.start.eq(1)
                packet.go("HEADER")

    def _tell(
        self, m: Module, answer: stream.Interface, packet: CurrentPacket, read_word: Signal
    ) -> None:
        """What there is to tell, by what was asked; `count` says which word of it."""
        count, refused, heading = packet.count, packet.refused, packet.at["ANSWER"]
        opcode = Signal(8)
        fields = {"length": count.left, "space": Const(0), "opcode": opcode}
        reply = Cat(fields[name] | Const(0, field.width) for name, field in isa.HEADER)
        words = [
            (heading, reply),
            (~heading & refused & ~count.last, packet.cause),
            (~heading & refused & count.last, packet.header),
        ]
        with m.If(refused):
            m.d.comb += opcode.eq(Reply.ERROR.value)
        for asks, kind, told in (
            (Packet.ID, Reply.ID, _from_the_end(self._identity(), count.left)),
            (Packet.COUNTERS, Reply.COUNTERS, _from_the_end([*self.counters], count.left)),
            (Packet.READ, Reply.DATA, read_word),
            (Packet.RESET, Reply.RESET, None),
        ):
            asked = Signal(name=f"asked_{asks.name.lower()}")
            m.d.comb += asked.eq(packet.named[asks] & ~refused)
            with m.If(asked):
                m.d.comb += opcode.eq(kind.value)
            if told is not None:
                words.append((asked & ~heading, told))
        # One at most is chosen: no choice need wait for another.
        chosen = [Mux(there, Value.cast(word), 0) for there, word in words]
        m.d.comb += answer.p.data.eq(functools.reduce(operator.or_, chosen))

    def _length(self, m: Module, packet: CurrentPacket) -> Signal:
        """Words behind the header of a reply, a cycle behind what they depend on."""
        count, named = packet.count, packet.named
        words = Signal.like(count.left, reset_less=True)
        m.d.sync += words.eq(0)
        with m.If(packet.refused):
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
        self,
        m: Module,
        answer: stream.Interface,
        packet: CurrentPacket,
        memory: data.View,
    ) -> None:
        """Replies: a header and words, each as it is when it is taken."""
        count = packet.count
        reading = Signal()
        m.d.sync += reading.eq(packet.named[Packet.READ] & ~packet.refused)
        wait = Signal(range(READ_WAIT + 1))
        with m.State("REFUSE"):
            # What is left of the packet must go before the next one.
            with m.If(~count.some):
                packet.go("PREPARE")
        with m.State("RESET"):
            m.d.comb += self.reset.eq(1)
            packet.go("PREPARE")
        with m.State("PREPARE"):
            packet.go("COUNT")
        with m.State("COUNT"):
            packet.go("ANSWER")
        with m.State("ANSWER"):
            # Not yet compared a cycle before.
            none = count.left == 0
            m.d.comb += [answer.valid.eq(1), answer.p.last.eq(none)]
            m.d.sync += wait.eq(0)
            with m.If(answer.ready):
                packet.go("WORDS")
                with m.If(none):
                    packet.go("HEADER")
        with m.State("WORDS"):
            # Those of a memory take a while.
            with m.If(reading & (wait != READ_WAIT)):
                m.d.sync += wait.eq(wait + 1)
            with m.Else():
                m.d.comb += [answer.valid.eq(1), answer.p.last.eq(count.last)]
                with m.If(answer.ready):
                    count.step()
                    m.d.comb += memory.read.eq(reading)
                    m.d.sync += wait.eq(0)
                    with m.If(count.last):
                        packet.go("HEADER")


def _from_the_end(words: Sequence, left: Value) -> Value:
    """The word behind which so many words come, and itself."""
    return Array([Const(0, 32), *(Value.cast(word) for word in reversed(words))])[left]
