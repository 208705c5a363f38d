"""The UART link: a core at the other end of a serial line that may lose or change bytes."""

from amaranth import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from . import layouts
from .config import Config
from .core import Core
from .errors import ConfigError
from .uart_codec import Deframer, Enframer
from .uart_frame import SLOTS
from .uart_inbox import Inbox
from .uart_line import LineIn, LineOut, check_divisor
from .uart_outbox import Outbox

LINK_WIDTH = 32


def check(cfg: Config, *, divisor: int, slots: int = 8) -> None:
    """Refuses what cannot be built, with ConfigError."""
    check_divisor(divisor)
    if cfg.link_width != LINK_WIDTH:
        raise ConfigError(
            f"link_width={cfg.link_width} does not go with a UART; it carries words of "
            f"{LINK_WIDTH} bits"
        )
    if slots not in SLOTS:
        raise ConfigError(f"slots={slots} is none of {SLOTS}")


class UARTLink(wiring.Component):
    """Carries packets over a serial line; see docs/uart.md. ``cfg.link_width`` must be 32.

    The host opens the link, which restarts the core. Before that, nothing passes.

    Parameters
    ----------
    divisor
        Cycles of a bit.
    slots
        Frames of 128 bytes kept for each direction.
    slots_in_luts
        In memories of LUTs, on parts that have them, in the place of block RAM.

    Attributes
    ----------
    rx, tx : In, Out
        The line as the hardware sees it: in, and out.
    o, i : Out, In
        To the core, and from it.
    restart : Out
        The link is being opened: the core is to be reset.
    error : Out
        A frame was damaged or missing since the link was opened, and has been asked for again.
    """

    rx: Signal
    tx: Signal
    o: stream.Interface
    i: stream.Interface
    restart: Signal
    error: Signal

    def __init__(
        self, cfg: Config, *, divisor: int, slots: int = 8, slots_in_luts: bool = False
    ) -> None:
        check(cfg, divisor=divisor, slots=slots)
        self.divisor = divisor
        self.slots = slots
        self.slots_in_luts = slots_in_luts
        super().__init__({
            "rx":      In(1),
            "tx":      Out(1),
            "o":       Out(stream.Signature(layouts.beat(cfg))),
            "i":       In(stream.Signature(layouts.beat(cfg))),
            "restart": Out(1),
            "error":   Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.line_in = line_in = LineIn(self.divisor)
        m.submodules.deframer = deframer = Deframer()
        m.submodules.inbox = inbox = Inbox(self.slots, in_luts=self.slots_in_luts)
        m.submodules.outbox = outbox = Outbox(self.slots, in_luts=self.slots_in_luts)
        m.submodules.enframer = enframer = Enframer()
        m.submodules.line_out = line_out = LineOut(self.divisor)

        connect(m, inbox.o, flipped(self.o))
        connect(m, flipped(self.i), outbox.i)
        connect(m, outbox.o, enframer.i)
        connect(m, enframer.o, line_out.i)
        m.d.comb += [
            line_in.rx.eq(self.rx),
            self.tx.eq(line_out.tx),
            deframer.i.eq(line_in.data),
            deframer.i_valid.eq(line_in.valid),
            deframer.i_error.eq(line_in.error),
            *(
                getattr(inbox, name).eq(getattr(deframer, name))
                for name in ("data", "valid", "end", "good")
            ),
            *(
                getattr(outbox, name).eq(getattr(inbox, name))
                for name in (
                    "header", "opened", "heard", "closed", "answer", "back", "ack", "limit"
                )
            ),
            inbox.clear.eq(outbox.restart),
            self.error.eq(inbox.error),
        ]  # fmt: skip
        # A cycle late, when neither box takes or gives words yet, for the core has many registers.
        m.d.sync += self.restart.eq(outbox.restart)
        return m


class UARTCore(wiring.Component):
    """A core behind a UART: the top of a board, and of its simulation.

    Attributes
    ----------
    rx, tx : In, Out
        The line.
    running, error : Out
        Of `Core` and of `UARTLink`, for lamps.
    """

    rx: Signal
    tx: Signal
    running: Signal
    error: Signal

    def __init__(
        self, cfg: Config, *, divisor: int, slots: int = 8, slots_in_luts: bool = False
    ) -> None:
        self.core = Core(cfg)
        self.link = UARTLink(cfg, divisor=divisor, slots=slots, slots_in_luts=slots_in_luts)
        super().__init__({
            "rx":      In(1),
            "tx":      Out(1),
            "running": Out(1),
            "error":   Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        # A run that a host has left behind ends, and what it would have sent goes nowhere.
        m.submodules.core = ResetInserter(link.restart)(self.core)
        connect(m, link.o, self.core.i)
        connect(m, self.core.o, link.i)
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            self.running.eq(self.core.running),
            self.error.eq(link.error),
        ]
        return m
