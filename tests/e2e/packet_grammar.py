"""Packets that a fuzzer sends: good ones, damaged ones, and what nobody would send."""

from collections import Counter
from pathlib import Path

import numpy as np

from hw.config import Config
from hw.isa import Cause, Packet, Reply, Space
from sim.device import Device, Stalls
from tests.e2e.packet_model import (
    CFG,
    DEPTH,
    LONGEST,
    WIDTH,
    Model,
    check_replies,
    packet,
    run,
)  # fmt: skip

ROUND = 4_000
"""Packets between two looks at all memories."""


class Grammar:
    """Good packets, and good ones that something was done to."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model, self.rng = model, np.random.default_rng(seed)

    def number(self, *likely: int) -> int:
        """One of these, one beside it, or anything."""
        kind = self.rng.random()
        if kind < 0.85:
            return likely[self.rng.integers(0, len(likely))]
        if kind < 0.95:
            return max(0, likely[self.rng.integers(0, len(likely))] + int(self.rng.integers(-2, 3)))
        return int(self.rng.integers(0, 1 << int(self.rng.integers(1, 33))))

    def upto(self, end: int) -> int:
        return int(self.rng.integers(0, max(1, end)))

    def good(self) -> list[int]:
        """Most of these are carried out."""
        kind = tuple(Packet)[self.rng.choice(7, p=[0.05, 0.3, 0.25, 0.05, 0.2, 0.05, 0.1])]
        match kind:
            case Packet.WRITE | Packet.READ:
                space = tuple(Space)[self.upto(5 if kind is Packet.READ else 4)]
                # What it runs must stay.
                first = len(self.model.program) if space is Space.PROGRAM else 0
                row = first + self.upto(DEPTH[space] - first)
                room = min(DEPTH[space] - row, (LONGEST - 2) // WIDTH[space])
                count = self.upto(min(room, 5 if self.rng.random() < 0.8 else 99) + 1)
                if kind is Packet.READ:
                    row = self.number(row, 0, DEPTH[space] - count)
                    return packet(kind, [row, self.number(count)], space)
                rows = self.rng.integers(0, 1 << 32, count * WIDTH[space])
                return packet(kind, [row, count, *rows], space)
            case Packet.RUN:
                # So large a slot that no run ever gets all of it.
                slots = self.number(1, 1, 2, 3)
                words = max(1, 256 // max(1, slots)) - self.upto(30)
                address = 4 * self.upto(max(1, 257 - words * slots))
                batches = self.number(1, 2, 3)
                return run(batches, self.number(address), words, slots, self.upto(max(1, words)))
            case Packet.INPUT:
                left = self.model.input_left if self.model.running else 3
                return packet(
                    kind, self.rng.integers(0, 1 << 32, self.number(self.upto(9), left) % 70)
                )
        return packet(kind)

    def next(self) -> list[int]:
        words = self.good()
        damage = self.rng.random()
        if damage < 0.6:
            return words
        if damage < 0.68:  # cut off
            return words[: 1 + self.upto(len(words))]
        if damage < 0.76:  # too long
            return words + self.rng.integers(0, 1 << 32, 1 + self.upto(5)).tolist()
        if damage < 0.79 and words[0] >> 24 in (Packet.READ.value, Packet.WRITE.value):
            return [words[0] & 0xFF00FFFF | (5 + self.upto(250)) << 16, *words[1:]]
        if damage < 0.84:  # another number of words, and a header that says so
            payload = [*words[1:], *self.rng.integers(0, 300, 4).tolist()]
            payload = payload[: max(0, len(words) - 1 + int(self.rng.integers(-3, 5)))][:LONGEST]
            return [words[0] & 0xFFFF0000 | len(payload), *payload]
        if damage < 0.92:  # a field of the header is another; what it runs stays
            byte = self.upto(4)
            header = words[0] ^ int(self.rng.integers(1, 256)) << 8 * byte
            if header >> 24 == Packet.WRITE.value and header >> 16 & 255 == Space.PROGRAM.value:
                return words
            return [header, *words[1:]]
        # Nothing that anyone would send, but for its length.
        words = self.rng.integers(0, 1 << 32, 1 + self.upto(12)).tolist()
        if self.rng.random() < 0.5:
            words[0] = words[0] & ~0xFFFF | len(words) - 1
        return [words[0] & 0xF8FFFFFF | 8 << 24, *words[1:]]


def fuzz(library: Path, stalls: Stalls, seed: int, rounds: int, cfg: Config = CFG) -> Counter[str]:
    """Sends rounds of packets and compares every reply and, after each round, every memory.

    Returns how many replies there were of each kind. AssertionError at the first difference.
    """
    model = Model(seed, cfg)
    grammar = Grammar(model, seed)
    answered: Counter[str] = Counter()
    with Device(library, stalls=stalls) as device:
        model.check(device, model.fill())
        for _ in range(rounds):
            # The grammar looks at the model, so packets and answers are made together.
            packets, wanted = [], []
            for _ in range(ROUND):
                words = grammar.next()
                packets.append(words)
                wanted += [(words, answer) for answer in model.answers(words)]
            for reply in check_replies(device, packets, wanted, wide=cfg.link_width > 32):
                name = Reply(reply[0] >> 24).name
                answered[Cause(reply[1]).name if name == "ERROR" else name] += 1
            model.check(device, [packet(Packet.RESET), *model.reads()])
    return answered
