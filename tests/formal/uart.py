"""Streams of the UART link keep what they offer until it is taken."""

from functools import partial

from hw.uart_codec import Enframer
from hw.uart_inbox import Inbox
from hw.uart_outbox import Outbox
from hw.uart_slots import Unpacker
from tests.formal.harness import Checks
from tests.formal.prove import Bug
from tests.formal.streams import holds, task

SLOTS = 2


def unpacker(check: Checks, dut: Unpacker) -> None:
    check.prove(check.held(dut.o))


def inbox(check: Checks, dut: Inbox) -> None:
    """While the link is being opened, what was on its way to the core is forgotten."""
    check.prove(check.held(dut.o) | check.before(dut.clear | dut.opened))


TASKS = [
    task(
        "Unpacker", Unpacker, unpacker,
        Bug("hw.uart_slots", "with m.If(self.o.ready):", "with m.If(~self.available):"),
        quick=True,
    ),
    task(
        "Enframer", Enframer, holds,
        Bug("hw.uart_codec", "passed = self.o.valid & self.o.ready", "passed = self.o.valid"),
        quick=True,
    ),
    task(
        "Inbox", partial(Inbox, SLOTS), inbox,
        Bug(
            "hw.uart_inbox", "connect(m, reader.o, flipped(self.o))",
            "m.d.comb += [self.o.valid.eq(self.valid), self.o.p.data.eq(self.data)]",
        ),
    ),
    task(
        "Outbox", partial(Outbox, SLOTS), holds,
        Bug("hw.uart_outbox", "header.as_value()[:8]", "self.ack", 8),
    ),
]  # fmt: skip
