"""Frames of the UART link as bytes; the host's side of hw/uart_frame.py and docs/uart.md."""

import zlib
from dataclasses import dataclass

from hw.uart_frame import (
    CRC_BYTES,
    ESCAPE,
    FLAG,
    FLIP,
    FRAME_WORDS,
    HEADER,
    HEADER_BYTES,
    SEQUENCE_BITS,
    Kind,
)

PAYLOAD_BYTES = 4 * FRAME_WORDS
LONGEST = 2 * (HEADER_BYTES + PAYLOAD_BYTES + CRC_BYTES)
"""Bytes between two flags when each is escaped; more than these are noise."""

NUMBERS = 1 << SEQUENCE_BITS
"""Sequence numbers are counted modulo this."""

_FLAG = bytes([FLAG])
# Unescaped in this order: the second does not make what the first looks for.
_ESCAPED = [(bytes([byte]), bytes([ESCAPE, byte ^ FLIP])) for byte in (FLAG, ESCAPE)]
_OFFSETS = {name: field.offset for name, field in HEADER}
_KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True)
class Frame:
    """A frame; numbers are modulo `NUMBERS`."""

    seq: int = 0
    ack: int = 0
    limit: int = 0
    last: bool = False
    kind: Kind = Kind.PLAIN
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """A frame with its flags."""
    header = (
        frame.seq << _OFFSETS["seq"]
        | frame.ack << _OFFSETS["ack"]
        | frame.limit << _OFFSETS["limit"]
        | int(frame.last) << _OFFSETS["last"]
        | frame.kind.value << _OFFSETS["kind"]
    )
    body = header.to_bytes(HEADER_BYTES, "little") + frame.payload
    body += zlib.crc32(body).to_bytes(CRC_BYTES, "little")
    for byte, escaped in reversed(_ESCAPED):
        body = body.replace(byte, escaped)
    return _FLAG + body + _FLAG


def decode(body: bytes) -> Frame | None:
    """The frame of what stands between two flags; None for anything that is not one."""
    for byte, escaped in _ESCAPED:
        body = body.replace(escaped, byte)
    size = len(body) - HEADER_BYTES - CRC_BYTES
    if not 0 <= size <= PAYLOAD_BYTES or size % 4:
        return None
    content, crc = body[:-CRC_BYTES], body[-CRC_BYTES:]
    if zlib.crc32(content) != int.from_bytes(crc, "little"):
        return None
    header = int.from_bytes(content[:HEADER_BYTES], "little")
    kind = _KINDS.get(header >> _OFFSETS["kind"])
    if kind is None:
        return None
    return Frame(
        seq=header >> _OFFSETS["seq"] & NUMBERS - 1,
        ack=header >> _OFFSETS["ack"] & NUMBERS - 1,
        limit=header >> _OFFSETS["limit"] & NUMBERS - 1,
        last=bool(header >> _OFFSETS["last"] & 1),
        kind=kind,
        payload=content[HEADER_BYTES:],
    )


class Deframer:
    """Cuts what a line brings into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame | None]:
        """Frames that are complete now; None in the place of each that is damaged."""
        *bodies, self._rest = (self._rest + data).split(_FLAG)
        frames = [decode(body) for body in bodies if body]
        if len(self._rest) > LONGEST:
            self._rest = b"\0"  # still no frame, whatever follows
        return frames
