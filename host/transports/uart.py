"""Hardware behind a serial port."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import serial
from serial.tools import list_ports

from host.errors import LeptonError
from host.transports.connection import Connection
from host.transports.frames import NUMBERS, PAYLOAD_BYTES, Deframer, Frame, encode
from hw.uart_frame import SLOTS, Kind

BAUD = 1_000_000
"""What the boards are built for unless told otherwise."""

OPENINGS = 6
"""How often the hardware is called before it counts as not there."""

LONGEST_POLL_S = 0.5
"""Between two polls when there is nothing to be heard of but answers to them."""

LOST_POLLS = 8
"""Polls in a row without an answer after which the link counts as lost."""


class UART:
    """A transport to hardware at a serial port.

    Opening it resets the core; its memories stay. The hardware may be silent for `patience_s` while
    it answers polls. LeptonError for a port that cannot be opened, for one at which no Lepton
    answers, and when the link is lost; after that, only a new one helps.
    """

    def __init__(self, port: str, *, baud: int = BAUD, patience_s: float = 60.0) -> None:
        self.name = f"{port} at {baud} baud"
        self.patience_s = patience_s
        self.on_progress: Callable[[int], None] | None = None
        # Until what both sides keep has gone over the line, and the adapter has passed it on.
        window_s = max(SLOTS) * PAYLOAD_BYTES * 10 / baud if baud > 0 else 0
        self.poll_s = 0.03 + 3 * window_s
        self._broken = False
        self._port = _open(port, baud, self.poll_s)
        try:
            self.connection = self._connect()
        except BaseException:
            self._port.close()
            raise

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """See `Transport`."""
        if self._broken:
            raise LeptonError(f"the link to {self.name} is broken; open a new session")
        self._broken = True  # until this has gone well
        self.connection.give(words, last)
        try:
            self._run(packets)
        except OSError as error:  # of which those of pyserial are
            raise LeptonError(f"the link to {self.name} was lost: {_reason(error)}") from error
        self._broken = False
        return [self.connection.packets.popleft() for _ in range(packets)]

    def cycles_to(self, packet: int) -> None:
        """None: a line of its own time sees no cycles."""

    def close(self) -> None:
        """Closes the port."""
        self._port.close()

    def _run(self, packets: int) -> None:
        link = self.connection
        progressed = asked = time.monotonic()
        wait_s, progress, heard, unanswered = self.poll_s, link.progress, link.heard, 0
        while len(link.packets) < packets or not link.idle():
            now = time.monotonic()
            poll = now - max(progressed, asked) > wait_s
            if poll:
                self._give_up(packets, unanswered, now - progressed)
                asked, unanswered = now, unanswered + 1
                wait_s = max(self.poll_s, min(2 * wait_s, LONGEST_POLL_S))
            sending = link.to_send(poll=poll)
            if sending:
                self._port.write(sending)
            came = self._port.read(max(1, self._port.in_waiting))
            if not came:
                continue
            link.receive(came)
            if link.heard != heard:
                heard, unanswered = link.heard, 0
            if link.progress != progress:
                progress, progressed, wait_s = link.progress, time.monotonic(), self.poll_s
                if self.on_progress is not None:
                    self.on_progress(len(link.packets))
        # The last acknowledgement, lest it be all sent again with the next exchange.
        self._port.write(link.to_send())

    def _give_up(self, packets: int, unanswered: int, silent_s: float) -> None:
        came = f"{len(self.connection.packets):,} of {packets:,} packets came"
        if unanswered >= LOST_POLLS:
            raise LeptonError(f"the link to {self.name} was lost: nothing answers, {came}")
        if silent_s > self.patience_s:
            raise LeptonError(
                f"the hardware at {self.name} answers, but nothing has moved for "
                f"{silent_s:.0f} s: {came}"
            )

    def _connect(self) -> Connection:
        """Opens the link. The numbers to begin with are drawn, so that an old answer is noticed."""
        seq, ack = (byte % NUMBERS for byte in os.urandom(2))
        deframer, noise, frames = Deframer(), 0, 0
        try:
            self._port.reset_input_buffer()
            for _ in range(OPENINGS):
                self._port.write(encode(Frame(seq=seq, ack=ack, kind=Kind.OPEN)))
                until = time.monotonic() + max(2 * self.poll_s, 0.2)
                while time.monotonic() < until:
                    came = self._port.read(max(1, self._port.in_waiting))
                    noise += len(came)
                    for frame in deframer.feed(came):
                        if frame is None:
                            continue
                        frames += 1
                        if frame.kind is Kind.OPEN and (frame.seq, frame.ack) == (ack, seq):
                            return Connection(seq=seq, ack=ack, limit=frame.limit)
        except OSError as error:
            raise LeptonError(f"the port {self.name} failed: {_reason(error)}") from error
        if not noise:
            said = "nothing came; is the hardware configured, at that port and at that baud rate?"
        elif not frames:
            said = f"{noise} bytes came that make no sense; is that the hardware's baud rate?"
        else:
            said = "it did not open a link; is another program using it?"
        raise LeptonError(f"no Lepton answers on {self.name}: {said}")


def _open(port: str, baud: int, timeout_s: float) -> Any:
    """The serial port; LeptonError says which there are."""
    if not port:
        raise LeptonError(f"a target over a serial port is uart:PORT; {_ports()}")
    try:
        opened = serial.Serial(
            port, baud, timeout=timeout_s, write_timeout=5, exclusive=os.name == "posix" or None
        )
    except (OSError, ValueError, OverflowError) as error:
        number = getattr(error, "errno", None)
        if number == errno.ENOENT:
            said = f"there is no such port; {_ports()}"
        elif number == errno.EACCES:
            said = "permission denied; your user may have to join its group (often dialout)"
        elif number in (errno.EAGAIN, errno.EWOULDBLOCK):
            said = "another program is using it"
        elif isinstance(error, ValueError | OverflowError) or "baud" in str(error):
            said = f"the port has no rate of {baud} baud"
        else:
            said = _reason(error)
        raise LeptonError(f"the serial port {port} cannot be opened: {said}") from error
    # Else some adapters keep what comes for 16 ms, in the hope for more; not all have the mode.
    with suppress(AttributeError, NotImplementedError, OSError, ValueError):
        opened.set_low_latency_mode(True)
    return opened


def _ports() -> str:
    found = ", ".join(port.device for port in list_ports.comports())
    return f"there are {found}" if found else "this machine has none"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
