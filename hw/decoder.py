"""Carries out packets, one after the other, and answers them."""

from amaranth import Array, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import VERSION, Config
from .isa import Cause, Packet, Reply, Space
from .packets import RECEIVED

ADDRESSED = len(("row", "count"))
"""Words of payload before the rows of a ``WRITE``."""

READ_WAIT = 1 + layouts.HostBus.READ_LATENCY
"""Cycles from choosing a row to its word: the bus begins with a register."""


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
    start, batches : Out
        Start a run of so many batches; the ring of input slots below is set from the same cycle on.
    ring : Out
        First byte of the ring of input slots, words of a slot, slots.
    reset_waits : In
        A ``RESET`` stands behind the present packet. Input that is not taken at once is dropped
        from then on, lest it hold up the reset that forgets it anyway.
    input : Out
        Words of input. What is offered stays until it is taken, unless the run ends or a reset
        waits.
    counters : In
        See `isa.COUNTERS`.
    reset : Out
        Stop the run.
    """

    i: stream.Interface
    o: stream.Interface
    buses: list[wiring.PureInterface]
    running: Signal
    start: Signal
    batches: Signal
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
            "start":       Out(1),
            "batches":     Out(32),
            "ring":        Out(layouts.ring(cfg)),
            "reset_waits": In(1),
            "input":       Out(stream.Signature(32)),
            "counters":    In(data.ArrayLayout(32, len(isa.COUNTERS))),
            "reset":       Out(1),
        })  # fmt: skip
        self.buses = [getattr(self, f"bus_{s.name.lower()}") for s in Space]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        header = Signal(isa.HEADER)
        left = Signal(range(self.cfg.packet_words + 1))
        """Words of the packet still to come."""
        some_left = Signal()
        """There are any."""
        last_left = Signal()
        """There is one."""
        taking = Signal()
        """They are words of input."""
        cause = Signal(8)
        payload = Signal(data.ArrayLayout(32, len(isa.RUN_WORDS)))
        """The first words of the payload, behind each other."""
        got = Signal(range(len(isa.RUN_WORDS) + 1))
        input_left = Signal(32)
        word = self.i.p.data

        dropping = Signal()
        """Of this run no more input is taken: a word was missed."""
        with m.If(self.start):
            m.d.sync += input_left.eq(payload[isa.RUN_WORDS.index("input_total")])
            m.d.sync += dropping.eq(0)

        answer = layouts.LINK_STREAM.create()
        self._reply(m, answer)
        memory = self._select(m, header, payload)
        m.d.comb += self.batches.eq(payload[isa.RUN_WORDS.index("batches")])
        m.d.sync += self.start.eq(0)
        count = _Left(left, some_left, last_left)
        with m.FSM():
            with m.State("HEADER"):
                incoming = data.View(isa.HEADER, word)
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [header.eq(incoming), *count.set(incoming.length), got.eq(0)]
                m.d.sync += cause.eq(self.i.p.cause)
                with m.If(self.i.valid):
                    m.next = "LOOK"
            self._check(m, header, cause, count, input_left, taking)
            with m.State("ARGUMENTS"):
                wanted = Signal.like(got)
                with m.If(header.opcode == Packet.RUN.value):
                    m.d.comb += wanted.eq(len(isa.RUN_WORDS))
                with m.Else():
                    m.d.comb += wanted.eq(ADDRESSED)
                with m.If(got == wanted):
                    with m.If(header.opcode == Packet.RUN.value):
                        m.next = "MEASURE_RUN"
                    with m.Else():
                        m.next = "MEASURE_ROWS"
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        m.d.sync += [payload[got].eq(word), got.eq(got + 1), *count.less()]
            self._memories(m, answer, header, cause, payload, memory, count)
            self._run(m, cause, payload)
            with m.State("INPUT"):
                # A run that ends without its input must not leave the packet in the way.
                wanted = taking & self.running
                m.d.comb += [
                    self.input.payload.eq(word),
                    self.input.valid.eq(self.i.valid & wanted & ~dropping),
                    self.i.ready.eq((self.input.ready | dropping) & wanted),
                ]
                with m.If(self.input.valid & ~self.input.ready & self.reset_waits):
                    m.d.sync += dropping.eq(1)
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [*count.less(), input_left.eq(input_left - 1)]
                    m.d.sync += taking.eq(~last_left)
                with m.If(~some_left):
                    m.next = "HEADER"
                with m.Elif(~self.running):
                    m.d.sync += [cause.eq(Cause.UNEXPECTED.value), taking.eq(0)]
                    m.next = "REFUSE"
            self._answers(m, answer, header, cause, count)
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
        taking: Signal,
    ) -> None:  # fmt: skip
        """What the header alone tells: first numbers are compared, then it is decided."""
        length, reading = header.length, header.opcode == Packet.READ.value
        any_length = Signal()
        no_addressed = Signal()
        no_run = Signal()
        too_much = Signal()
        no_space = Signal()
        m.d.sync += [
            any_length.eq(length != 0),
            no_addressed.eq((length < ADDRESSED) | (reading & (length != ADDRESSED))),
            no_run.eq(length != len(isa.RUN_WORDS)),
            too_much.eq(length > input_left),
            no_space.eq(
                (header.space >= len(Space)) | (~reading & (header.space == Space.TRACE.value))
            ),
        ]
        with m.State("LOOK"):
            m.next = "CHECK"
            with m.If(cause != 0):
                m.d.sync += count.set(Const(0, 16))
                m.next = "REFUSE"
        with m.State("CHECK"), m.Switch(header.opcode):
            for packet, then in (
                (Packet.ID, "ID"),
                (Packet.COUNTERS, "COUNTERS"),
                (Packet.RESET, "RESET"),
            ):
                with m.Case(packet.value):
                    m.next = then
                    with m.If(any_length):
                        self._refuse(m, cause, Cause.LENGTH)
            with m.Case(Packet.WRITE.value, Packet.READ.value):
                m.next = "ARGUMENTS"
                with m.If(no_addressed):
                    self._refuse(m, cause, Cause.LENGTH)
                with m.Elif(no_space):
                    self._refuse(m, cause, Cause.SPACE)
                with m.Elif(self.running):
                    self._refuse(m, cause, Cause.BUSY)
            with m.Case(Packet.RUN.value):
                m.next = "ARGUMENTS"
                with m.If(no_run):
                    self._refuse(m, cause, Cause.LENGTH)
                with m.Elif(self.running):
                    self._refuse(m, cause, Cause.BUSY)
            with m.Case(Packet.INPUT.value):
                m.next = "INPUT"
                m.d.sync += taking.eq(self.running & count.some & ~too_much)
                with m.If(~self.running | too_much):
                    self._refuse(m, cause, Cause.UNEXPECTED)
            with m.Default():
                self._refuse(m, cause, Cause.OPCODE)

    def _select(self, m: Module, header: data.View, payload: data.View) -> data.View:
        """Wires the buses, and returns what is known of the memory that the header names."""
        longest = self.cfg.packet_words.bit_length()
        memory = Signal(
            data.StructLayout(
                {"total": 32, "depth": 21, "words_last": 16, "r_data": 32, "word": 16, "write": 1}
            )
        )
        for space, bus in zip(Space, self.buses, strict=True):
            words = isa.row_words(self.cfg, space)
            # In registers: from here to the last block RAM is the longest wire of the core.
            m.d.sync += [
                bus.row.eq(payload[0]),
                bus.word.eq(memory.word),
                bus.w_data.eq(self.i.p.data),
                bus.write.eq(memory.write & (header.space == space.value)),
            ]
            with m.If(header.space == space.value):
                m.d.comb += [
                    memory.total.eq(_times(payload[1][:longest], words)),
                    memory.depth.eq(isa.rows(self.cfg, space)),
                    memory.words_last.eq(words - 1),
                    memory.r_data.eq(bus.r_data),
                ]
        return memory

    def _memories(
        self, m: Module, answer: stream.Interface, header: data.View, cause: Signal,
        payload: data.View, memory: data.View, count: "_Left",
    ) -> None:  # fmt: skip
        """``WRITE`` and ``READ``: `count` counts the words to come, or to send."""
        row, rows = payload[0], payload[1]
        # Registers between the arithmetic and the decisions, which are slow together.
        total = Signal(16)
        stop = Signal(25)
        no_rows = Signal()
        strange = Signal()
        over = Signal()
        too_long = Signal()
        differs = Signal()
        wait = Signal(range(READ_WAIT + 1))
        word = Signal(16)
        last_word = Signal()
        longest = self.cfg.packet_words

        def advance() -> None:
            m.d.sync += [*count.less(), word.eq(word + 1)]
            m.d.sync += last_word.eq(word + 1 == memory.words_last)
            with m.If(last_word):
                m.d.sync += [word.eq(0), row.eq(row + 1), last_word.eq(memory.words_last == 0)]

        with m.State("MEASURE_ROWS"):
            # More rows than there are words in the longest packet need no exact product.
            many = rows[longest.bit_length() : 16].any()
            m.d.sync += [
                total.eq(memory.total | many.replicate(16)),
                stop.eq(row[:24] + rows[:16]),
                strange.eq(rows[16:].any() | row[24:].any()),
            ]
            m.next = "COMPARE_ROWS"
        with m.State("COMPARE_ROWS"):
            m.d.sync += [
                over.eq(strange | (stop > memory.depth)),
                differs.eq(total != count.left),
                too_long.eq(total > longest),
                no_rows.eq(total == 0),
                word.eq(0),
                last_word.eq(memory.words_last == 0),
                wait.eq(0),
            ]
            m.next = "CHECK_ROWS"
        with m.State("CHECK_ROWS"):
            with m.If(over):
                self._refuse(m, cause, Cause.RANGE)
            with m.Elif(header.opcode == Packet.WRITE.value):
                m.next = "WRITE"
                with m.If(differs):
                    self._refuse(m, cause, Cause.LENGTH)
            with m.Else():
                m.next = "READ_HEADER"
                with m.If(too_long):
                    self._refuse(m, cause, Cause.RANGE)
        with m.State("WRITE"):
            m.d.comb += [
                self.i.ready.eq(count.some),
                memory.write.eq(self.i.valid & count.some),
                memory.word.eq(word),
            ]
            with m.If(memory.write):
                advance()
            with m.If(~count.some):
                m.next = "HEADER"
        with m.State("READ_HEADER"):
            with m.If(self._send(m, answer, Reply.DATA, total, no_rows)):
                m.d.sync += count.set(total)
                m.next = "READ"
                with m.If(no_rows):
                    m.next = "HEADER"
        with m.State("READ"):
            m.d.comb += memory.word.eq(word)
            with m.If(wait != READ_WAIT):
                m.d.sync += wait.eq(wait + 1)
            with m.Else():
                m.d.comb += [
                    answer.valid.eq(1),
                    answer.p.data.eq(memory.r_data),
                    answer.p.last.eq(count.last),
                ]
                with m.If(answer.ready):
                    m.d.sync += wait.eq(0)
                    advance()
                    with m.If(count.last):
                        m.next = "HEADER"

    def _run(self, m: Module, cause: Signal, payload: data.View) -> None:
        """``RUN``: the ring of input slots is measured slot by slot, without a multiplier."""
        batches, address, words, slots, _ = (payload[i] for i in range(len(isa.RUN_WORDS)))
        # Two slots, each as large as the memory, end at twice its size before that is refused.
        end = Signal(self.cfg.address_width + 2)
        slots_left = Signal(8)
        wrong = Signal()
        size = self.cfg.scratchpad_bytes
        with m.State("MEASURE_RUN"):
            m.d.sync += [end.eq(address), slots_left.eq(slots)]
            m.d.sync += wrong.eq(
                (batches == 0) | (address >= size) | (address[:2] != 0) | (words == 0)
                | (words > size // 4) | (slots == 0) | slots[8:].any()
            )  # fmt: skip
            m.next = "CHECK_RUN"
        with m.State("CHECK_RUN"):
            m.next = "MEASURE"
            with m.If(wrong):
                self._refuse(m, cause, Cause.RANGE)
        with m.State("MEASURE"):
            m.d.sync += [end.eq(end + (words << 2)), slots_left.eq(slots_left - 1)]
            with m.If(end > size):
                self._refuse(m, cause, Cause.RANGE)
            with m.Elif(slots_left == 0):
                m.d.sync += [
                    self.start.eq(1),
                    self.ring.address.eq(address),
                    self.ring.words.eq(words),
                    self.ring.slots.eq(slots),
                ]
                m.next = "HEADER"

    def _send(self, m: Module, answer: stream.Interface, reply: Reply, length, last):
        """Sends a header; returns whether it goes."""
        out = data.View(isa.HEADER, answer.p.data)
        m.d.comb += [
            answer.valid.eq(1),
            out.opcode.eq(reply.value),
            out.length.eq(length),
            answer.p.last.eq(last),
        ]
        return answer.ready

    def _answers(
        self, m: Module, answer: stream.Interface, header: data.View, cause: Signal, count: "_Left"
    ) -> None:
        """Replies that are a list of words."""
        identity = [isa.MAGIC, VERSION, *self.cfg.words()]
        self._list(m, answer, "ID", Reply.ID, [Const(w, 32) for w in identity])
        counters = [self.counters[i] for i in range(len(isa.COUNTERS))]
        self._list(m, answer, "COUNTERS", Reply.COUNTERS, counters)
        with m.State("RESET"):
            m.d.comb += self.reset.eq(1)
            m.next = "RESET_ANSWER"
        self._list(m, answer, "RESET_ANSWER", Reply.RESET, [])
        with m.State("REFUSE"):
            # What is left of the packet must go before the next one.
            m.d.comb += self.i.ready.eq(count.some)
            with m.If(~count.some):
                m.next = "ERROR"
            with m.Elif(self.i.valid):
                m.d.sync += count.less()
        self._list(m, answer, "ERROR", Reply.ERROR, [cause, header.as_value()])

    def _list(
        self, m: Module, answer: stream.Interface, state: str, reply: Reply, words: list
    ) -> None:
        """A header and words, each as it is when it is taken."""
        at = Signal(range(max(1, len(words))), name=f"{state.lower()}_at")
        with m.State(state), m.If(self._send(m, answer, reply, len(words), not words)):
            m.next = f"{state}_WORDS" if words else "HEADER"
            m.d.sync += at.eq(0)
        if words:
            with m.State(f"{state}_WORDS"):
                m.d.comb += [
                    answer.valid.eq(1),
                    answer.p.data.eq(Array(words)[at]),
                    answer.p.last.eq(at == len(words) - 1),
                ]
                with m.If(answer.ready):
                    m.d.sync += at.eq(at + 1)
                    with m.If(answer.p.last):
                        m.next = "HEADER"


class _Left:
    """A count of words, and what is asked of it, compared a cycle before."""

    def __init__(self, left: Signal, some: Signal, last: Signal) -> None:
        self.left, self.some, self.last = left, some, last

    def set(self, value: Value) -> list:
        """It starts."""
        value = value[: len(self.left)]
        return [self.left.eq(value), self.some.eq(value != 0), self.last.eq(value == 1)]

    def less(self) -> list:
        """One fewer."""
        left = self.left
        return [left.eq(left - 1), self.some.eq(left != 1), self.last.eq(left == 2)]


def _times(value: Value, count: int) -> Value:
    """``value * count`` as a sum of shifts: synthesis would spend a multiplier block."""
    return sum((value << i for i in range(count.bit_length()) if count >> i & 1), Const(0, 1))
