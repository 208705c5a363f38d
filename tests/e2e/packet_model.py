"""What a core answers to any packet and what its memories hold, from docs/packets.md alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hw import isa
from hw.config import VERSION, Config
from hw.isa import Cause, Packet, Reply, Space
from sim.device import Device

CFG = Config(
    rows=3, cols=2, scratchpad_bytes=1024, weight_depth=256, acc_depth=64, table_depth=16,
    program_depth=256, result_depth=16, packet_words=64, trace_depth=4,
)  # fmt: skip
DEPTH = {
    Space.PROGRAM: 256, Space.WEIGHTS: 256, Space.TABLE: 16, Space.SCRATCHPAD: 256, Space.TRACE: 4,
}  # fmt: skip
WIDTH = {
    Space.PROGRAM: 1, Space.WEIGHTS: 1, Space.TABLE: 3, Space.SCRATCHPAD: 1, Space.TRACE: 8,
}  # fmt: skip
WRITABLE = tuple(Space)[:4]
LONGEST = 64


def packet(kind: Any, payload: Iterable[int] = (), space: Any = 0) -> list[int]:
    """A packet with the right length."""
    payload = [int(w) & 0xFFFFFFFF for w in payload]
    opcode, memory = (v if isinstance(v, int) else v.value for v in (kind, space))
    return [len(payload) | memory << 16 | opcode << 24, *payload]


def error(cause: Cause, words: list[int]) -> list[int]:
    return packet(Reply.ERROR, [cause.value, words[0]])


def identity(cfg: Config) -> list[int]:
    return packet(Reply.ID, [isa.MAGIC, VERSION, *cfg.words()])


IDENTITY = identity(CFG)


def exchange(device: Device, packets: Sequence[list[int]], replies: int) -> list[list[int]]:
    words = [w for p in packets for w in p]
    last = np.zeros(len(words), bool)
    last[np.cumsum([len(p) for p in packets], dtype=int) - 1] = True
    came = device.exchange(np.array(words, np.uint32), last, replies)
    return [reply.tolist() for reply in came]


def waiting_layer() -> list[int]:
    """A program that waits for an image for ever."""
    fields = {f.name: 0 for f in isa.LAYER if f.name != "op"} | {"wait_input": 1, "allow": 99}
    return isa.encode(isa.Op.LAYER, **fields) + isa.encode(isa.Op.END)


def check_replies(
    device: Device,
    packets: Sequence[list[int]],
    wanted: Sequence[tuple[list[int], list[int | None]]],
    *,
    wide: bool = False,
) -> list[list[int]]:
    """Sends packets and compares the replies with (packet, answer); a None is any word.

    On a `wide` link a word of zero fills the last beat of a reply.
    """
    got = exchange(device, packets, len(wanted))
    if wide:
        wanted = [(sent, [*answer, *[0] * (len(answer) % 2)]) for sent, answer in wanted]
    for i, (reply, (sent, answer)) in enumerate(zip(got, wanted, strict=True)):
        same = len(reply) == len(answer) and all(
            b is None or a == b for a, b in zip(reply, answer, strict=True)
        )
        assert same, f"reply {i} to {sent[:8]} is {reply[:8]} and should be {answer[:8]}"
    return got


class Model:
    """What the core should hold and answer, from the description of the packets alone.

    Its program waits for an image, so that a run goes on until a reset.
    """

    def __init__(self, seed: int, cfg: Config = CFG) -> None:
        self.cfg = cfg
        self.rng = np.random.default_rng(seed)
        self.program = waiting_layer()
        self.memory = {
            s: self.rng.integers(0, 1 << 32, (DEPTH[s], WIDTH[s]), np.uint32) for s in WRITABLE
        }
        self.memory[Space.PROGRAM][: len(self.program), 0] = self.program
        # Two columns: the rest of the word is no memory.
        self.memory[Space.WEIGHTS] &= 0xFFFF
        self.running = False
        self.input_left = 0
        self.input_row = 0

    def fill(self) -> list[list[int]]:
        """Packets that write all memories."""
        packets = []
        for space in WRITABLE:
            count = (LONGEST - 2) // WIDTH[space]
            for row in range(0, DEPTH[space], count):
                part = self.memory[space][row : row + count]
                packets.append(packet(Packet.WRITE, [row, len(part), *part.ravel()], space))
        return packets

    def answers(self, words: list[int]) -> list[list[int | None]]:
        """The replies to a packet that ends behind these words; None is any word."""
        length, space, opcode = words[0] & 0xFFFF, words[0] >> 16 & 255, words[0] >> 24
        payload = words[1:]
        if self.cfg.link_width > 32:
            # The last beat is filled with zeros, which are no part of the packet.
            payload = payload + [0] * (len(words) % 2)
            if len(payload) == length + 1 and payload[-1] == 0:
                payload.pop()
        refusal = self._refusal(opcode, space, length, payload)
        if refusal is not None:
            return [[*error(refusal, words)]]
        match Packet(opcode):
            case Packet.ID:
                return [[*identity(self.cfg)]]
            case Packet.COUNTERS:
                return [[*packet(Reply.COUNTERS, range(8))[:1], *[None] * 8]]
            case Packet.RESET:
                self.running = False
                return [[*packet(Reply.RESET)]]
            case Packet.READ:
                return [self._read(Space(space), *payload)]
            case Packet.WRITE:
                row, count, *rows = payload
                there = np.array(rows, np.uint32).reshape(count, WIDTH[Space(space)])
                mask = 0xFFFF if space == Space.WEIGHTS.value else 0xFFFFFFFF
                self.memory[Space(space)][row : row + count] = there & mask
            case Packet.RUN:
                self.running, self.input_left = True, payload[4]
                self.input_row = payload[1] // 4
            case Packet.INPUT:
                self.input_left -= length
                rows = slice(self.input_row, self.input_row + length)
                self.memory[Space.SCRATCHPAD][rows, 0] = payload
                self.input_row += length
        return []

    def _read(self, space: Space, row: int, count: int) -> list[int | None]:
        if space is Space.TRACE:
            return [*packet(Reply.DATA, range(8 * count))[:1], *[None] * (8 * count)]
        return [*packet(Reply.DATA, self.memory[space][row : row + count].ravel())]

    def _refusal(self, opcode: int, space: int, length: int, payload: list[int]) -> Cause | None:
        if length > LONGEST and payload:
            return Cause.OVERSIZE
        if len(payload) != length:
            return Cause.TRUNCATED if len(payload) < length else Cause.EXCESS
        if opcode not in {p.value for p in Packet}:
            return Cause.OPCODE
        kind = Packet(opcode)
        if kind in (Packet.ID, Packet.COUNTERS, Packet.RESET):
            return Cause.LENGTH if length else None
        if kind is Packet.INPUT:
            wanted = self.running and length <= self.input_left
            return None if wanted else Cause.UNEXPECTED
        if kind is Packet.RUN:
            return self._run_refusal(payload)
        if length < 2 or (kind is Packet.READ and length != 2):
            return Cause.LENGTH
        if space > 4 or (kind is Packet.WRITE and space == Space.TRACE.value):
            return Cause.SPACE
        if self.running:
            return Cause.BUSY
        row, count = payload[:2]
        if row + count > DEPTH[Space(space)]:
            return Cause.RANGE
        size = count * WIDTH[Space(space)]
        if kind is Packet.READ:
            return Cause.RANGE if size > LONGEST else None
        return Cause.LENGTH if size != length - 2 else None

    def _run_refusal(self, payload: list[int]) -> Cause | None:
        if len(payload) != 5:
            return Cause.LENGTH
        if self.running:
            return Cause.BUSY
        batches, address, words, slots, _ = payload
        good = (
            batches > 0
            and address % 4 == 0
            and address < CFG.scratchpad_bytes
            and words > 0
            and 0 < slots < 16
            and address + 4 * words * slots <= CFG.scratchpad_bytes
        )
        return None if good else Cause.RANGE

    def reads(self) -> list[list[int]]:
        """Packets that read all memories but the trace."""
        packets = []
        for space in WRITABLE:
            count = LONGEST // WIDTH[space]
            for row in range(0, DEPTH[space], count):
                rows = min(count, DEPTH[space] - row)
                packets.append(packet(Packet.READ, [row, rows], space))
        return packets

    def check(self, device: Device, packets: Sequence[list[int]]) -> None:
        """Sends packets and compares every reply."""
        wanted = [(p, answer) for p in packets for answer in self.answers(p)]
        check_replies(device, packets, wanted, wide=self.cfg.link_width > 32)


def run(batches: int, address: int, words: int, slots: int, total: int) -> list[int]:
    return packet(Packet.RUN, [batches, address, words, slots, total])


GOOD_RUN = run(1, 0, 100, 2, 20)
