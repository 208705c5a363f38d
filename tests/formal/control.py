"""Control: packets are neither lost nor invented, addresses stay in bounds, programs come to an
end."""

from functools import partial
from typing import Any

from amaranth import Mux, Value
from amaranth.lib import data

from hw import isa
from hw.decoder import Decoder
from hw.inputs import Inputs
from hw.outputs import Outputs
from hw.packets import PacketBuffer
from hw.sequencer import Sequencer
from hw.weights import Loader
from tests.formal.feeder import comparisons_match
from tests.formal.harness import Checks
from tests.formal.prove import Bug, Task
from tests.formal.streams import SMALL, made, ring_of_inputs


class ShortPackets:
    """A configuration with packets shorter than a person may choose: the buffer wraps sooner."""

    packet_words = 2
    link_width = 32


SHORT: Any = ShortPackets()


def nothing_lost(check: Checks, dut: PacketBuffer) -> None:
    """Any one word, chosen freely, comes out once, in its place; nothing else does.

    The model counts words: those of whole packets, and one for each refused packet.
    """
    m = check.m
    check.assume(check.held(dut.i))
    accepted = Value.cast(dut.i.valid) & Value.cast(dut.i.ready)
    taken = Value.cast(dut.o.valid) & Value.cast(dut.o.ready)
    word, last = dut.i.p.data, dut.i.p.last
    committed, came, index = (check.register(8, n) for n in ("committed", "came", "index"))
    length, head = check.register(16, "length"), check.register(32, "head")
    closed = accepted & last
    now_length = Mux(index == 0, word[:16], length)
    good = closed & ~dut.i.p.cut & (now_length == index) & (now_length <= ShortPackets.packet_words)
    with m.If(accepted):
        m.d.sync += index.eq(Mux(last, 0, index + 1))
        check.assume(index < 12)
        with m.If(index == 0):
            m.d.sync += [length.eq(word[:16]), head.eq(word)]
    with m.If(closed):
        m.d.sync += committed.eq(committed + Mux(good, index + 1, 1))
    with m.If(taken):
        m.d.sync += came.eq(came + 1)

    # The word that is followed: its place in the output, and what it must be.
    follow = check.any_value(1, "follow")
    following, place, wanted = (
        check.register(1, "following"), check.register(8, "place"), check.register(32, "wanted"),
    )  # fmt: skip
    refused, in_this = check.register(1, "refused"), check.register(1, "in_this")
    with m.If(accepted & follow & ~following):
        m.d.sync += [
            following.eq(1), place.eq(committed + index), wanted.eq(word), refused.eq(0),
            in_this.eq(~last),
        ]  # fmt: skip
        with m.If(closed & ~good):
            m.d.sync += [
                place.eq(committed), refused.eq(1), wanted.eq(Mux(index == 0, word, head)),
            ]  # fmt: skip
    with m.Elif(following & in_this & closed):
        m.d.sync += in_this.eq(0)
        with m.If(~good):
            m.d.sync += [place.eq(committed), refused.eq(1), wanted.eq(head)]
    here = Value.cast(dut.o.valid) & following & ~in_this & (came == place)
    check.prove(~here | ((dut.o.p.data == wanted) & ((dut.o.p.cause != 0) == refused)))
    # Nothing comes that was not complete, and what is complete comes soon.
    check.prove(~Value.cast(dut.o.valid) | (came != committed))
    late = check.register(3, "late")
    m.d.sync += late.eq(Mux((came != committed) & ~Value.cast(dut.o.valid), late + 1, 0))
    # A refusal takes a cycle more than a whole packet.
    check.prove(late <= 4)


def input_addresses(check: Checks, dut: Inputs) -> None:
    """Every word goes to the ring: to its slots one after the other, and nowhere else."""
    ring_of_inputs(check, dut)
    m, ring = check.m, dut.ring
    # Small numbers, so that the product of words and slots is none to a solver.
    check.assume((ring.words <= 3) & (ring.slots <= 3) & (ring.address <= 24))
    check.assume(ring.address[:2] == 0)
    written = Value.cast(dut.o.valid) & Value.cast(dut.o.ready)
    word, slot = check.register(2, "word"), check.register(2, "slot")
    begin = check.before(dut.start)
    at_end = word == ring.words - 1
    with m.If(begin):
        m.d.sync += [word.eq(0), slot.eq(0)]
    with m.Elif(written):
        m.d.sync += word.eq(Mux(at_end, 0, word + 1))
        with m.If(at_end):
            m.d.sync += slot.eq(Mux(slot == ring.slots - 1, 0, slot + 1))
    wanted = ring.address + ((slot * ring.words + word) << 2)
    check.prove(~Value.cast(dut.o.valid) | (dut.o.p.address == wanted))
    end = ring.address + ((ring.slots * ring.words) << 2)
    inside = (dut.o.p.address >= ring.address) & (dut.o.p.address < end)
    check.prove(~Value.cast(dut.o.valid) | inside)


def output_addresses(check: Checks, dut: Outputs) -> None:
    """Word k of an output is read at its source and 4 k, for k below the number of words."""
    m = check.m
    source, count = check.register(dut.source.shape(), "source"), check.register(16, "count")
    check.assume(~dut.start | ((dut.words != 0) & ~dut.busy))
    check.assume((dut.source[:2] == 0) & (dut.words <= dut.cfg.scratchpad_words))
    check.assume(~dut.taken | dut.read)
    with m.If(check.state("IDLE") & dut.start):
        m.d.sync += [source.eq(dut.source), count.eq(dut.words)]
    left = check.inside["left"]
    check.prove(check.known_state())
    check.prove(dut.busy == ~check.state("IDLE"))
    check.prove(dut.read == check.state("READ"))
    check.prove(
        ~check.state("FETCH", "SEND") | (check.inside["last"] == (check.inside["left"] == 0))
    )
    sending = check.state("WAIT", "HEADER", "READ", "FETCH", "SEND", "STAMP")
    width = len(dut.address)
    check.prove(~sending | (dut.address == (source + ((count - left) << 2))[:width]))
    check.prove(~sending | (left <= count))
    check.prove(~check.state("WAIT", "HEADER", "READ") | (left != 0))
    check.prove(~check.state("STAMP") | (left == 0))


def bus_addresses(check: Checks, dut: Any) -> None:
    """A packet never writes outside of a memory, and never to the trace."""
    check.assume(check.held(dut.i))
    # The bus is a register. Its row has no bits for what lies outside of a power of two, so what
    # is looked at is the number that it was taken from, a cycle before.
    row = check.before(check.inside["row"])
    for space, bus in zip(isa.Space, dut.buses, strict=True):
        rows, words = isa.rows(dut.cfg, space), isa.row_words(dut.cfg, space)
        check.prove(~bus.write | ((row < rows) & (bus.word < words)))
        check.prove(~bus.write | (bus.row == row[: len(bus.row)]))
    check.prove(~dut.bus_trace.write)


def ring_in_memory(check: Checks, dut: Decoder) -> None:
    """A run starts only with a ring that lies in the scratchpad."""
    ring = dut.ring
    begin = check.before(dut.start)
    end = ring.address + ((ring.words * ring.slots) << 2)
    good = (ring.slots != 0) & (ring.words != 0) & (end <= dut.cfg.scratchpad_bytes)
    check.prove(~begin | (good & (ring.address[:2] == 0)))


def sequencer_returns(check: Checks, dut: Sequencer) -> None:
    """No state lasts: a fetch ends by itself, and every other state as soon as it is answered."""
    words = isa.length(isa.Op.LAYER)
    check.assume(~dut.start | check.state("STOPPED"))
    check.assume(~check.state("FETCH") | (dut.running & ~dut.batches_set))
    check.assume(~dut.taken | dut.valid)
    check.prove(check.known_state())
    asked, came, coming = (check.inside[n] for n in ("asked", "came", "coming"))
    fetching, ready = check.state("FETCH") & ~dut.valid, check.state("FETCH") & dut.valid
    check.prove(~dut.valid | check.state("FETCH"))
    check.prove((asked <= words) & (came <= asked))
    check.prove(~fetching | (asked == came + coming))
    check.prove(fetching | ~coming)
    check.prove(~ready | ((asked == came) & ((came == words) | (came == 0))))
    was = {n: check.before(check.state(n)) for n in ("STOPPED", "FINISHED")}
    was |= {"FETCH": check.before(fetching), "READY": check.before(ready)}
    # A fetch makes progress in every cycle: a word asked for, a word come, or its end.
    progress = (asked != check.before(asked)) | (came != check.before(came))
    check.prove(~(was["FETCH"] & fetching & check.past) | progress)
    check.prove(~(was["READY"] & check.before(dut.taken)) | fetching)
    check.prove(~(was["READY"] & ~check.before(dut.taken)) | ready)
    check.prove(~(was["FINISHED"] & ~check.before(dut.running)) | check.state("STOPPED"))
    check.prove(dut.finished == check.state("FINISHED"))
    comparisons_match(check, dut)
    check.prove(~was["STOPPED"] | check.state("STOPPED") | check.before(dut.start))
    # Each time the program ends there is one batch less to come, and with the last it finishes.
    left = check.inside["batches_left"]
    ended = was["FETCH"] & (came == 0) & (check.before(came) != 0)
    check.prove(~ended | (left == (check.before(left) - 1)[: len(left)]))
    check.prove(~ended | (check.state("FINISHED") == (check.before(left) == 1)))


def weights_in_tiles(check: Checks, dut: Loader) -> None:
    """Rows of a tile are loaded one after the other, in every cycle, and the last is row 0."""
    tag, before = dut.tag, check.before(dut.tag)
    before = data.View(dut.tag.shape(), before)
    check.assume(~dut.swap | dut.ready)
    rows = dut.cfg.load_cycles
    loaded, reading, left = (check.inside[n] for n in ("loaded", "reading", "left"))
    check.prove(~reading | (loaded & (left != 0) & (left <= rows)))
    check.prove(dut.ready == (loaded & (~reading | (left == 1))))
    check.prove(~tag.valid | (tag.row < rows))
    check.prove(~(before.valid & (before.row != 0)) | (tag.valid & (tag.row == before.row - 1)))
    next_address = (check.before(dut.address) + 1)[: len(dut.address)]
    check.prove(~(before.valid & (before.row != 0)) | (dut.address == next_address))


def task(name: str, dut: Any, properties: Any, claim: str, bug: Bug, **options: Any) -> Task:
    settings: dict[str, Any] = {"mode": "prove", "depth": 2, **options}
    return Task(name, partial(made, dut, properties), claim=claim, bug=bug, **settings)


TASKS = [
    task(
        "packets in and out", partial(PacketBuffer, SHORT), nothing_lost,
        "the packet buffer loses no word of a whole packet and invents none",
        Bug("hw.packets", "back.eq(1)]", "back.eq(0)]"),
        mode="bmc", depth=13,
    ),
    task(
        "input addresses", partial(Inputs, SMALL), input_addresses,
        "words of input go to the ring of slots, in order",
        Bug("hw.inputs", "last_slot = write_slots_left == 1", "last_slot = write_slots_left == 2"),
        mode="bmc", depth=14,
    ),
    task(
        "output addresses", partial(Outputs, SMALL), output_addresses,
        "an output is read from its source to its end",
        Bug("hw.outputs", "self.address.eq(address << 2)", "self.address.eq(address << 3)"),
        quick=True,
    ),
    task(
        "bus addresses", partial(Decoder, SMALL), bus_addresses,
        "no packet writes outside of a memory",
        Bug("hw.decoder", "stop.eq(row + rows)", "stop.eq(row)"),
        mode="bmc", depth=20,
    ),
    task(
        "ring of a run", partial(Decoder, SMALL), ring_in_memory,
        "a run starts only with input slots in the scratchpad",
        Bug("hw.decoder", "with m.If(end > size):", "with m.If(end > size + 1):", 16),
        mode="bmc", depth=16,
    ),
    task(
        "sequencer", partial(Sequencer, SMALL), sequencer_returns,
        "every state is left, and each end of the program uses up a batch",
        Bug("hw.sequencer", "with m.If(batches_left == 1):", "with m.If(batches_left == 2):"),
        quick=True,
    ),
    task(
        "tiles", partial(Loader, SMALL), weights_in_tiles,
        "a tile is loaded row by row without a gap",
        Bug("hw.weights", "first, self.address + 1)", "first, self.address + 2)"),
        quick=True,
    ),
]  # fmt: skip
