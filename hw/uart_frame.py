"""Frames of the UART link: the one definition that gateware, host and docs read.

A frame is ``FLAG``, the header, payload words, a CRC-32 and ``FLAG``; see docs/uart.md.
"""

import zlib

from amaranth.lib import data, enum

FLAG = 0x7E
"""Begins and ends a frame, and stands nowhere in it."""

ESCAPE = 0x7D
"""Stands before a byte of a frame that is `FLAG` or `ESCAPE`, which then is xored with `FLIP`."""

FLIP = 0x20
"""What turns `FLAG` and `ESCAPE` into bytes that may stand in a frame; these are PPP's values."""

CRC_POLYNOMIAL = 0xEDB88320
"""CRC-32 of IEEE 802.3, lowest bit first: that of Ethernet, PPP and `zlib.crc32`."""

CRC_BYTES = 4
"""The CRC covers header and payload before escaping and is sent lowest byte first."""

CRC_RESIDUE = 0xFFFFFFFF ^ zlib.crc32(zlib.crc32(b"").to_bytes(CRC_BYTES, "little"))
"""What is in the CRC register after a whole frame with its CRC."""

FRAME_WORDS = 31
"""Most payload words of a frame: with a word that says how many, a slot of 128 bytes."""

SEQUENCE_BITS = 4
"""Of a sequence number."""

SLOTS = (2, 4, 8)
"""Frames that the hardware may keep for each direction. It must be at most half of all sequence
numbers, so that an old frame and a new one are never taken for each other."""


class Kind(enum.Enum, shape=3):
    """What a frame says besides its payload."""

    PLAIN = 0
    """Here are words (if there is a payload) and what I have received."""
    BACK = 1
    """The same, and: something was lost, send again from `ack` on."""
    POLL = 2
    """From the host: the same, and answer me with `BACK`."""
    OPEN = 3
    """From the host: forget everything and reset the core; `seq` and `ack` are the numbers to begin
    with. From the hardware: done, with the same two numbers exchanged."""
    CLOSED = 4
    """From the hardware: I have forgotten our connection, or there never was one."""


HEADER = data.StructLayout({
    "seq":   SEQUENCE_BITS,
    "ack":   SEQUENCE_BITS,
    "limit": SEQUENCE_BITS,
    "last":  1,
    "kind":  Kind,
})  # fmt: skip
"""First two bytes of a frame, the first in the low bits."""

FIELDS = {
    "seq": "number of this frame's payload; of a frame without one, the number of the next",
    "ack": "number of the frame that the sender expects next: all before it have come",
    "limit": "from the hardware: first number for which it has no room yet",
    "last": "the payload's last word ends a packet",
    "kind": "one of the kinds below",
}
"""What the fields of the header mean."""

HEADER_BYTES = HEADER.size // 8
