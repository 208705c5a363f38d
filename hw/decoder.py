"""Carries out packets, one after the other, and answers them."""

from amaranth import Array, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import VERSION, Config
from .isa import Cause, Packet, Reply, Space
from .packets import RECEIVED

ADDRESSED = len(("row", "count"))
"""Words of payload before the rows of a ``WRITE``."""


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
        left = Signal(16)
        """Words of the packet still to come."""
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

        memory = self._select(m, header, payload)
        m.d.comb += self.batches.eq(payload[isa.RUN_WORDS.index("batches")])
        with m.FSM():
            with m.State("HEADER"):
                incoming = data.View(isa.HEADER, word)
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [header.eq(incoming), left.eq(incoming.length), got.eq(0)]
                m.d.sync += cause.eq(self.i.p.cause)
                with m.If(self.i.valid):
                    with m.If(self.i.p.cause != 0):
                        m.d.sync += left.eq(0)
                        m.next = "REFUSE"
                    with m.Else():
                        m.next = "CHECK"
            self._check(m, header, cause, input_left)
            with m.State("ARGUMENTS"):
                wanted = Signal.like(got)
                with m.If(header.opcode == Packet.RUN.value):
                    m.d.comb += wanted.eq(len(isa.RUN_WORDS))
                with m.Else():
                    m.d.comb += wanted.eq(ADDRESSED)
                with m.If(got == wanted):
                    with m.If(header.opcode == Packet.RUN.value):
                        m.next = "CHECK_RUN"
                    with m.Else():
                        m.next = "CHECK_ROWS"
                with m.Else():
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.valid):
                        m.d.sync += [payload[got].eq(word), got.eq(got + 1), left.eq(left - 1)]
            self._memories(m, header, left, cause, payload, memory)
            self._run(m, cause, payload)
            with m.State("INPUT"):
                # A run that ends without its input must not leave the packet in the way.
                wanted = (left != 0) & self.running
                m.d.comb += [
                    self.input.payload.eq(word),
                    self.input.valid.eq(self.i.valid & wanted & ~dropping),
                    self.i.ready.eq((self.input.ready | dropping) & wanted),
                ]
                with m.If(self.input.valid & ~self.input.ready & self.reset_waits):
                    m.d.sync += dropping.eq(1)
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [left.eq(left - 1), input_left.eq(input_left - 1)]
                with m.If(left == 0):
                    m.next = "HEADER"
                with m.Elif(~self.running):
                    m.d.sync += cause.eq(Cause.UNEXPECTED.value)
                    m.next = "REFUSE"
            self._answers(m, header, left, cause)
        return m

    def _refuse(self, m: Module, cause: Signal, why: Cause) -> None:
        m.d.sync += cause.eq(why.value)
        m.next = "REFUSE"

    def _check(self, m: Module, header: data.View, cause: Signal, input_left: Signal) -> None:
        """What the header alone tells."""
        length = header.length
        with m.State("CHECK"), m.Switch(header.opcode):
            for packet, then in (
                (Packet.ID, "ID"),
                (Packet.COUNTERS, "COUNTERS"),
                (Packet.RESET, "RESET"),
            ):
                with m.Case(packet.value):
                    m.next = then
                    with m.If(length != 0):
                        self._refuse(m, cause, Cause.LENGTH)
            with m.Case(Packet.WRITE.value, Packet.READ.value):
                m.next = "ARGUMENTS"
                reading = header.opcode == Packet.READ.value
                with m.If((length < ADDRESSED) | (reading & (length != ADDRESSED))):
                    self._refuse(m, cause, Cause.LENGTH)
                with m.Elif(
                    (header.space >= len(Space)) | (~reading & (header.space == Space.TRACE.value))
                ):
                    self._refuse(m, cause, Cause.SPACE)
                with m.Elif(self.running):
                    self._refuse(m, cause, Cause.BUSY)
            with m.Case(Packet.RUN.value):
                m.next = "ARGUMENTS"
                with m.If(length != len(isa.RUN_WORDS)):
                    self._refuse(m, cause, Cause.LENGTH)
                with m.Elif(self.running):
                    self._refuse(m, cause, Cause.BUSY)
            with m.Case(Packet.INPUT.value):
                m.next = "INPUT"
                with m.If(~self.running | (length > input_left)):
                    self._refuse(m, cause, Cause.UNEXPECTED)
            with m.Default():
                self._refuse(m, cause, Cause.OPCODE)

    def _select(self, m: Module, header: data.View, payload: data.View) -> data.View:
        """Wires the buses, and returns what is known of the memory that the header names."""
        memory = Signal(
            data.StructLayout(
                {"total": 32, "depth": 32, "words_last": 16, "r_data": 32, "word": 16, "write": 1}
            )
        )
        for space, bus in zip(Space, self.buses, strict=True):
            words = isa.row_words(self.cfg, space)
            m.d.comb += [
                bus.row.eq(payload[0]),
                bus.word.eq(memory.word),
                bus.w_data.eq(self.i.p.data),
                bus.write.eq(memory.write & (header.space == space.value)),
            ]
            with m.If(header.space == space.value):
                m.d.comb += [
                    memory.total.eq(payload[1][:16] * words),
                    memory.depth.eq(isa.rows(self.cfg, space)),
                    memory.words_last.eq(words - 1),
                    memory.r_data.eq(bus.r_data),
                ]
        return memory

    def _memories(
        self, m: Module, header: data.View, left: Signal, cause: Signal, payload: data.View,
        memory: data.View,
    ) -> None:  # fmt: skip
        """``WRITE`` and ``READ``: `left` counts the words to come, or to send."""
        row, count, total = payload[0], payload[1], memory.total
        wait = Signal(range(layouts.HostBus.READ_LATENCY + 1))

        word = Signal(16)

        def advance() -> None:
            m.d.sync += [left.eq(left - 1), word.eq(word + 1)]
            with m.If(word == memory.words_last):
                m.d.sync += [word.eq(0), row.eq(row + 1)]

        with m.State("CHECK_ROWS"):
            m.d.sync += [word.eq(0), wait.eq(0)]
            with m.If(count[16:].any() | row[24:].any() | (row[:24] + count[:16] > memory.depth)):
                self._refuse(m, cause, Cause.RANGE)
            with m.Elif(header.opcode == Packet.WRITE.value):
                m.next = "WRITE"
                with m.If(total != left):
                    self._refuse(m, cause, Cause.LENGTH)
            with m.Else():
                m.next = "READ_HEADER"
                with m.If(total > self.cfg.packet_words):
                    self._refuse(m, cause, Cause.RANGE)
        with m.State("WRITE"):
            m.d.comb += [
                self.i.ready.eq(left != 0),
                memory.write.eq(self.i.valid & (left != 0)),
                memory.word.eq(word),
            ]
            with m.If(memory.write):
                advance()
            with m.If(left == 0):
                m.next = "HEADER"
        with m.State("READ_HEADER"):
            with m.If(self._send(m, Reply.DATA, total, total == 0)):
                m.d.sync += left.eq(total)
                m.next = "READ"
                with m.If(total == 0):
                    m.next = "HEADER"
        with m.State("READ"):
            m.d.comb += memory.word.eq(word)
            with m.If(wait != layouts.HostBus.READ_LATENCY):
                m.d.sync += wait.eq(wait + 1)
            with m.Else():
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.data.eq(memory.r_data),
                    self.o.p.last.eq(left == 1),
                ]
                with m.If(self.o.ready):
                    m.d.sync += wait.eq(0)
                    advance()
                    with m.If(left == 1):
                        m.next = "HEADER"

    def _run(self, m: Module, cause: Signal, payload: data.View) -> None:
        """``RUN``: the ring of input slots is measured slot by slot, without a multiplier."""
        batches, address, words, slots, _ = (payload[i] for i in range(len(isa.RUN_WORDS)))
        # Two slots, each as large as the memory, end at twice its size before that is refused.
        end = Signal(self.cfg.address_width + 2)
        slots_left = Signal(8)
        size = self.cfg.scratchpad_bytes
        with m.State("CHECK_RUN"):
            m.d.sync += [end.eq(address), slots_left.eq(slots)]
            m.next = "MEASURE"
            with m.If(
                (batches == 0) | (address >= size) | (address[:2] != 0) | (words == 0)
                | (words > size // 4) | (slots == 0) | slots[8:].any()
            ):  # fmt: skip
                self._refuse(m, cause, Cause.RANGE)
        with m.State("MEASURE"):
            m.d.sync += [end.eq(end + (words << 2)), slots_left.eq(slots_left - 1)]
            with m.If(end > size):
                self._refuse(m, cause, Cause.RANGE)
            with m.Elif(slots_left == 0):
                m.d.comb += self.start.eq(1)
                m.d.sync += [
                    self.ring.address.eq(address),
                    self.ring.words.eq(words),
                    self.ring.slots.eq(slots),
                ]
                m.next = "HEADER"

    def _send(self, m: Module, reply: Reply, length, last):
        """Sends a header; returns whether it goes."""
        out = data.View(isa.HEADER, self.o.p.data)
        m.d.comb += [
            self.o.valid.eq(1),
            out.opcode.eq(reply.value),
            out.length.eq(length),
            self.o.p.last.eq(last),
        ]
        return self.o.ready

    def _answers(self, m: Module, header: data.View, left: Signal, cause: Signal) -> None:
        """Replies that are a list of words."""
        identity = [isa.MAGIC, VERSION, *self.cfg.words()]
        self._list(m, "ID", Reply.ID, [Const(w, 32) for w in identity])
        counters = [self.counters[i] for i in range(len(isa.COUNTERS))]
        self._list(m, "COUNTERS", Reply.COUNTERS, counters, counting=True)
        with m.State("RESET"):
            m.d.comb += self.reset.eq(1)
            m.next = "RESET_ANSWER"
        self._list(m, "RESET_ANSWER", Reply.RESET, [])
        with m.State("REFUSE"):
            # What is left of the packet must go before the next one.
            m.d.comb += self.i.ready.eq(left != 0)
            with m.If(left == 0):
                m.next = "ERROR"
            with m.Elif(self.i.valid):
                m.d.sync += left.eq(left - 1)
        self._list(m, "ERROR", Reply.ERROR, [cause, header.as_value()])

    def _list(
        self, m: Module, state: str, reply: Reply, words: list, *, counting: bool = False
    ) -> None:
        """A header and words; of words that go on counting, each is kept while it is offered."""
        at = Signal(range(max(1, len(words))), name=f"{state.lower()}_at")
        following = Signal.like(at, name=f"{state.lower()}_next")
        kept = Signal(32, name=f"{state.lower()}_kept")

        def advance() -> None:
            m.d.sync += at.eq(following)
            if counting:
                m.d.sync += kept.eq(Array(words)[following])

        with m.State(state), m.If(self._send(m, reply, len(words), not words)):
            m.next = f"{state}_WORDS" if words else "HEADER"
            advance()
        if words:
            with m.State(f"{state}_WORDS"):
                m.d.comb += [
                    following.eq(at + 1),
                    self.o.valid.eq(1),
                    self.o.p.data.eq(kept if counting else Array(words)[at]),
                    self.o.p.last.eq(at == len(words) - 1),
                ]
                with m.If(self.o.ready):
                    advance()
                    with m.If(self.o.p.last):
                        m.next = "HEADER"
