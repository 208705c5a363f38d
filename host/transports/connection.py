"""The host's end of a UART link, without its serial port; see docs/uart.md."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from host.errors import LeptonError
from host.transports.frames import NUMBERS, PAYLOAD_BYTES, Deframer, Frame, encode
from hw.uart_frame import SLOTS, Kind


class Connection:
    """An open link. Numbers of frames are counted without end here, and modulo only on the line.

    Parameters
    ----------
    seq, ack
        Numbers of the first frame to be sent, and of the first to come.
    limit
        Number of the first frame for which the hardware has no room.
    """

    def __init__(self, *, seq: int, ack: int, limit: int) -> None:
        self.oldest = seq
        """Number of the oldest frame that is not acknowledged."""
        self.next = seq
        """Number of the frame to be sent next."""
        self.expected = ack
        """Number of the frame that comes next."""
        self.limit = seq + (limit - seq) % NUMBERS
        self.packets: deque[np.ndarray] = deque()
        """Packets that have come whole."""
        self.heard = 0
        """Whole frames so far."""
        self.damaged = 0
        """Frames so far that came damaged, or not at all."""
        self.repeated = 0
        """Frames so far that were sent again."""
        self._deframer = Deframer()
        # Frames on their way at once: where many are lost, most of those behind are sent in vain.
        self._window = max(SLOTS)
        self._sent: deque[tuple[bytes, bool]] = deque()  # from `oldest` on, until acknowledged
        self._waiting: Iterator[tuple[bytes, bool]] = iter(())
        self._parts: list[bytes] = []  # of the packet that is coming
        self._answer = False
        self._back = False
        self._asked = False
        self._polled = False

    @property
    def progress(self) -> int:
        """Grows with every frame that either side takes for the first time."""
        return self.oldest + self.expected

    def give(self, words: np.ndarray, last: np.ndarray) -> None:
        """Takes packets to be sent; all of those before must have been acknowledged."""
        self._waiting = pieces(words, last)

    def idle(self) -> bool:
        """Whether all that was given has been acknowledged. Fetches what is to be sent next."""
        return not self._sent and not self._fetch()

    def to_send(self, *, poll: bool = False) -> bytes:
        """Frames for the line: all for which there is room, else what the other side must hear."""
        frames = []
        # What is behind a poll would be sent again, for its answer does not acknowledge it.
        while not self._polled and self.next < min(self.limit, self.oldest + self._window):
            at = self.next - self.oldest
            if at == len(self._sent) and not self._fetch():
                break
            payload, last = self._sent[at]
            frames.append(self._frame(payload=payload, last=last))
            self.next += 1
        if poll:
            self._polled = True
            frames.append(self._frame(kind=Kind.POLL))
        elif not frames and (self._answer or self._back):
            frames.append(self._frame())
        return b"".join(map(encode, frames))

    def receive(self, data: bytes) -> None:
        """Takes what came over the line. LeptonError when the hardware knows of no link."""
        for frame in self._deframer.feed(data):
            if frame is None:
                self._ask()
            else:
                self._hear(frame)

    def _hear(self, frame: Frame) -> None:
        self.heard += 1
        if frame.kind is Kind.CLOSED:
            raise LeptonError(
                "the hardware was reset, or another program has opened its link; open a new session"
            )
        if frame.kind is Kind.OPEN:
            return  # an answer to a repeated question
        self._acknowledge(frame)
        lead = (frame.seq - self.expected) % NUMBERS
        if lead == 0:
            self._asked = False
            if frame.payload:
                self.expected += 1
                self._answer = True
                self._take(frame)
        elif lead < NUMBERS // 2:
            self._ask()
        elif frame.payload:
            self._answer = True

    def _acknowledge(self, frame: Frame) -> None:
        done = (frame.ack - self.oldest) % NUMBERS
        if done > len(self._sent):
            return
        for _ in range(done):
            self._sent.popleft()
        self.oldest += done
        self._window = min(self._window + done, max(SLOTS))
        self.next = max(self.next, self.oldest)
        self.limit = self.oldest + (frame.limit - frame.ack) % NUMBERS
        if frame.kind is Kind.BACK:
            self._polled = False
            self.repeated += self.next - self.oldest
            if self.next > self.oldest:
                self._window = max(1, self._window // 2)
            self.next = self.oldest

    def _take(self, frame: Frame) -> None:
        self._parts.append(frame.payload)
        if frame.last:
            self.packets.append(np.frombuffer(b"".join(self._parts), "<u4").astype(np.uint32))
            self._parts.clear()

    def _ask(self) -> None:
        """Once for each gap: all that follows it is ahead as well."""
        self.damaged += 1
        self._back |= not self._asked
        self._asked = True

    def _fetch(self) -> bool:
        piece = next(self._waiting, None)
        if piece is not None:
            self._sent.append(piece)
        return piece is not None

    def _frame(self, *, payload: bytes = b"", last: bool = False, kind: Kind = Kind.PLAIN) -> Frame:
        if self._back and kind is Kind.PLAIN:
            kind = Kind.BACK
        self._back = self._answer = False
        return Frame(
            seq=self.next % NUMBERS,
            ack=self.expected % NUMBERS,
            last=last,
            kind=kind,
            payload=payload,
        )


def pieces(words: np.ndarray, last: np.ndarray) -> Iterator[tuple[bytes, bool]]:
    """Payloads of frames, and whether each ends a packet, which only its last word may do."""
    content = np.ascontiguousarray(words, "<u4").tobytes()
    ends = (4 * (np.flatnonzero(last) + 1)).tolist()
    if len(content) and (not ends or ends[-1] != len(content)):
        ends.append(len(content))
    start = 0
    for end in ends:
        ends_packet = bool(last[end // 4 - 1])
        for at in range(start, end, PAYLOAD_BYTES):
            until = min(at + PAYLOAD_BYTES, end)
            yield content[at:until], ends_packet and until == end
        start = end
