"""Packets as arrays of words: how the driver makes and reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from host.errors import LeptonError
from hw import isa
from hw.isa import Cause, Packet, Reply, Space


@dataclass(frozen=True)
class Words:
    """Packets behind each other."""

    words: np.ndarray
    """uint32 (n,)."""
    last: np.ndarray
    """bool (n,): the word ends a packet."""

    def __add__(self, other: "Words") -> "Words":
        return Words(
            np.concatenate((self.words, other.words)), np.concatenate((self.last, other.last))
        )


def header(packet: Packet | Reply, length: int = 0, space: Space | None = None) -> int:
    """First word of a packet."""
    memory = space.value if space else 0
    fields: dict[int | str, int] = {"opcode": packet.value, "length": length, "space": memory}
    return isa.HEADER.const(fields).as_bits()


def packet(
    kind: Packet, payload: Sequence[int] | np.ndarray = (), space: Space | None = None
) -> Words:
    """One packet."""
    payload = np.asarray(payload, np.uint32).ravel()
    words = np.concatenate(([header(kind, len(payload), space)], payload)).astype(np.uint32)
    last = np.zeros(len(words), bool)
    last[-1] = True
    return Words(words, last)


def write(space: Space, row: int, rows: np.ndarray, longest: int) -> Words:
    """As many ``WRITE`` packets as rows of words, uint32 (rows, words), need."""
    per_packet = (longest - 2) // rows.shape[1]
    pieces = [
        packet(Packet.WRITE, np.concatenate(([row + i, len(part)], part.ravel())), space)
        for i in range(0, len(rows), per_packet)
        for part in [rows[i : i + per_packet]]
    ]
    return Words(
        np.concatenate([p.words for p in pieces]), np.concatenate([p.last for p in pieces])
    )


def stream(words: np.ndarray, longest: int) -> Words:
    """``INPUT`` packets for all words, without a Python loop over them."""
    whole, rest = divmod(len(words), longest)
    table = np.empty((whole, longest + 1), np.uint32)
    table[:, 0] = header(Packet.INPUT, longest)
    table[:, 1:] = words[: whole * longest].reshape(whole, longest)
    last = np.zeros(table.shape, bool)
    last[:, -1] = True
    packed = Words(table.ravel(), last.ravel())
    return packed + packet(Packet.INPUT, words[whole * longest :]) if rest else packed


def read(reply: np.ndarray, expected: Reply) -> np.ndarray:
    """Payload of a reply; LeptonError for another one or an incomplete one."""
    fields = isa.HEADER.from_bits(int(reply[0]))
    if len(reply) == fields.length + 2:
        reply = reply[:-1]  # a 64-bit link fills its last beat with a word of nothing
    if fields.opcode == Reply.ERROR.value and len(reply) == 3:
        refused = isa.HEADER.from_bits(int(reply[2]))
        raise LeptonError(
            f"the hardware refused a packet with opcode {refused.opcode}, memory {refused.space} "
            f"and {refused.length} words: {Cause(int(reply[1])).name.lower()}"
        )
    if fields.opcode != expected.value or fields.length != len(reply) - 1:
        raise LeptonError(
            f"the hardware sent a packet of {len(reply)} words with header {int(reply[0]):#010x} "
            f"where {expected.name} was expected; reset it and try again"
        )
    return reply[1:]
