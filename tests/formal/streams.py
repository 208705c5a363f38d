"""Streams: every component that drives one keeps what it offers until it is taken."""

from functools import partial
from typing import Any

from amaranth import Cat, Value

from hw import isa
from hw.config import Config
from hw.current_packet import CurrentPacket
from hw.decoder import Decoder
from hw.inputs import Inputs
from hw.link import LinkIn, LinkOut
from hw.outputs import Outputs
from hw.packets import PacketBuffer, ReplyMux
from tests.formal.harness import Checks, Harness
from tests.formal.prove import Bug, Task

SMALL = Config(
    rows=3, cols=2, scratchpad_bytes=64, weight_depth=8, acc_depth=4, table_depth=2,
    program_depth=32, result_depth=4, packet_words=16, trace_depth=2,
)  # fmt: skip
"""The least of everything: what is proven of a stream does not depend on how deep memories are."""


def with_link(width: int) -> Config:
    return SMALL.with_fields({"link_width": width})


def holds(check: Checks, dut: Any) -> None:
    """A stream in and a stream out."""
    check.assume(check.held(dut.i))
    check.prove(check.held(dut.o))


def reply_mux(check: Checks, dut: ReplyMux) -> None:
    check.assume(check.held(dut.answers))
    # What it drops when its source is reset is the source's, not the mux's.
    check.prove(check.held(dut.o))


def outputs(check: Checks, dut: Outputs) -> None:
    check.prove(check.held(dut.o))


def inputs(check: Checks, dut: Inputs) -> None:
    """The decoder starts a run only when none goes on, and sends it words only then."""
    ring_of_inputs(check, dut)
    check.prove(check.held(dut.o))


def ring_of_inputs(check: Checks, dut: Inputs) -> None:
    """What `Core` promises to `Inputs`, and which slots are taken."""
    check.assume(check.held(dut.i))
    valid, begin = Value.cast(dut.i.valid), check.before(dut.start)
    started = check.register(1, "started")
    check.m.d.sync += started.eq(started | begin)
    check.assume(~valid | (started & ~dut.start & ~begin))
    check.assume(~dut.release | (dut.filled & started & ~dut.start & ~begin))
    freed = [check.inside[f"freed_{i}"] for i in range(Inputs.RELEASE)]
    check.assume(~(dut.start | begin) | ~Cat(freed).any())
    # The ring is set with `start`, and holds.
    check.assume(begin | ~check.past | (Value.cast(dut.ring) == check.before(dut.ring)))
    check.assume(~begin | ((dut.ring.slots != 0) & (dut.ring.words != 0)))
    full, held = check.inside["full"], check.inside["held"]
    check.prove(begin | (held == full + sum(freed)))
    check.prove(begin | (held <= dut.ring.slots) | ~started)
    check.prove(started | ((held == 0) & (full == 0) & ~Cat(freed).any()))
    # What is compared a cycle before is what it says.
    room, last_word = check.inside["room"], check.inside["last_word"]
    check.prove(dut.filled == (full != 0))
    check.prove(begin | ~started | (room == (held != dut.ring.slots)))
    check.prove(begin | ~started | (last_word == (check.inside["words_left"] == 1)))


def decoder(check: Checks, dut: Decoder) -> None:
    check.assume(check.held(dut.i))
    # A memory that nobody writes gives the same word for the same address.
    waiting = check.before(Value.cast(dut.o.valid) & ~Value.cast(dut.o.ready))
    for bus in dut.buses:
        check.assume(~waiting | (bus.r_data == check.before(bus.r_data)))
    check.prove(check.held(dut.o))
    # Each register of a state is that state, and a header has one opcode.
    check.prove(check.known_state())
    for name in CurrentPacket.FLAGGED:
        check.prove(check.inside[f"at_{name.lower()}"] == check.state(name))
    opcodes = Cat(check.inside[f"is_{packet.name.lower()}"] for packet in isa.Packet)
    check.prove((opcodes & (opcodes - 1)[: len(opcodes)]) == 0)
    check.prove(~check.inside["arguments.wanted"] | check.state("ARGUMENTS"))
    left, some, taking = (check.inside[n] for n in ("left", "some_left", "taking"))
    # What is compared a cycle before is what it says, but in the cycle behind the count's start.
    compared = check.past & check.before(~check.state("HEADER", "COUNT"))
    check.prove(~compared | (some == (left != 0)))
    check.prove(~compared | (check.inside["last_left"] == (left == 1)))
    check.prove(~check.state("CHECK", "WRITE", "REFUSE", "INPUT", "WORDS") | compared)
    check.prove(~taking | (check.state("INPUT") & some))
    # A run that ends drops the input that is left, and so does one that a reset waits for.
    goes_on = check.before(dut.running) & dut.running & ~check.before(dut.reset_waits)
    check.prove(check.held(dut.input) | ~goes_on)
    check.prove(~Value.cast(dut.input.valid) | dut.running)


def packet_buffer(check: Checks, dut: PacketBuffer) -> None:
    """What it reads it must not overwrite: there are never more words in it than it is deep."""
    check.assume(check.held(dut.i))
    check.prove(check.held(dut.o))
    tail, whole, head = (check.inside[name] for name in ("tail", "whole", "head"))
    depth = 1 << (len(tail) - 1)
    stored = (tail - head)[: len(tail)]
    complete = (whole - head)[: len(tail)]
    check.prove(check.known_state())
    check.prove(stored <= depth)
    check.prove(complete <= stored)
    # Of a packet that is not whole yet there is the header at least, in whose place a refusal goes.
    kept = check.state("PAYLOAD", "SKIP", "BACK")
    check.prove(~kept | (complete != stored))
    check.prove(kept | (complete == stored))
    # A refusal goes where its header was.
    check.prove(~check.state("REFUSE") | (stored < depth))


def task(name: str, dut: Any, properties: Any, bug: Bug, **options: Any) -> Task:
    claim = f"what {name} offers stays until it is taken"
    settings: dict[str, Any] = {"mode": "prove", "depth": 2, **options}
    return Task(f"stream: {name}", partial(made, dut, properties), claim=claim, bug=bug, **settings)


def made(dut: Any, properties: Any) -> Harness:
    return Harness(dut(), properties)


def hasty(module: str, stream: str) -> Bug:
    """A word counts as passed on before anybody has taken it."""
    taken = f"with m.If(self.{stream}.valid & self.{stream}.ready):"
    return Bug(module, taken, f"with m.If(self.{stream}.valid):")


LINK_BUGS = {
    (LinkIn, 8): hasty("hw.link", "i"),
    (LinkIn, 16): hasty("hw.link", "i"),
    (LinkIn, 32): Bug(
        "hw.link", "self.o.p.last.eq(self.i.p.last),\n            ]\n        elif",
        "self.o.p.last.eq(self.i.p.last & ~self.i.ready),\n            ]\n        elif",
    ),
    (LinkIn, 64): hasty("hw.link", "o"),
    (LinkOut, 8): hasty("hw.link", "o"),
    (LinkOut, 16): hasty("hw.link", "o"),
    (LinkOut, 32): Bug(
        "hw.link", "connect(m, flipped(self.i), flipped(self.o))",
        "m.d.comb += [self.o.valid.eq(self.i.valid), self.o.p.last.eq(self.o.ready)]",
    ),
    (LinkOut, 64): hasty("hw.link", "i"),
}  # fmt: skip

TASKS = [
    *(
        task(
            f"{kind.__name__}, {width} bits", partial(kind, with_link(width)), holds,
            bug, quick=width in (8, 64),
        )
        for (kind, width), bug in LINK_BUGS.items()
    ),
    task(
        "ReplyMux", ReplyMux, reply_mux,
        Bug("hw.packets", "room = ~self.o.valid |", "room = self.abort |"),
        quick=True,
    ),
    task(
        "Outputs", partial(Outputs, SMALL), outputs,
        Bug(
            "hw.outputs", "self.o.p.data.eq(words[:32]),\n", "self.o.p.data.eq(self.cycle),\n"
        ),
        quick=True,
    ),
    task(
        "Inputs", partial(Inputs, SMALL), inputs,
        Bug("hw.inputs", "self.i.valid & room)", "self.i.valid & room & ~self.release)"),
        quick=True,
    ),
    task(
        "Decoder", partial(Decoder, SMALL), decoder,
        Bug("hw.decoder", "self.o.valid.eq(~self.o.ready)", "self.o.valid.eq(0)"),
        quick=True,
    ),
    task(
        "PacketBuffer", partial(PacketBuffer, SMALL), packet_buffer,
        Bug("hw.packets", "deliver = ~self.o.valid |", "deliver = self.i.valid | ~self.o.valid |"),
        quick=True,
    ),
]  # fmt: skip
