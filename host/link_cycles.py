"""Cycles of the host link: when input has come whole, when an output is read and has left."""

from hw.config import Config
from hw.packets import PacketBuffer

RUN_CHECK = 15
"""Cycles from the last word of ``RUN`` to the start of the run, and one more for each slot."""

PACKET_STORED = 3
"""Cycles from a packet's last word on the link until its header can be taken."""
PACKET_HEADER = 3
"""Cycles from a packet's header to its first word of payload."""

BUFFER_ROOM = 3
"""Cycles from taking a word of a packet to the first in which the link may fill a place of the
packet buffer in its stead."""

READ_CYCLES = 5
"""Cycles from reading an output's word to the first lane's being sent."""
READ_TO_STAMP = 4
"""Cycles from reading a word to noting the time."""


def word_beats(cfg: Config) -> int:
    """Cycles in which one word passes the link."""
    return max(1, 32 // cfg.link_width)


def beat_words(cfg: Config) -> int:
    """Words of a beat; the last beat of a packet may have fewer."""
    return max(1, cfg.link_width // 32)


def buffer_places(cfg: Config) -> int:
    """Words of packets that wait for being taken, at most."""
    return PacketBuffer.depth(cfg) - 1 + PacketBuffer.ON_THE_WAY


def read_cycles(cfg: Config) -> int:
    """Cycles from reading one word of an output to the next: each lane's is sent before, and the
    last of them is on the link meanwhile."""
    return READ_CYCLES + 1 + (cfg.lanes - 1) * word_beats(cfg)


def send_cycles(cfg: Config) -> int:
    """Cycles from reading the last word of an output until the link begins with its time stamp."""
    return READ_CYCLES + cfg.lanes * word_beats(cfg)


def latency(cfg: Config, first_end: int, slots: int) -> int:
    """Cycles from the first word of input to the last of the first batch's output, whose stamp is
    given."""
    first_word = beat_words(cfg) - RUN_CHECK - slots
    read = first_end + 1 - READ_TO_STAMP
    return read + send_cycles(cfg) + word_beats(cfg) - first_word


class Arrivals:
    """When packets of input have come, of a host that sends whenever it may.

    The host is ahead of a core that waits for a slot, until the packet buffer is full. Behind that
    a link of whole words keeps up with what is taken, so that a packet never comes late; where a
    word takes several beats, it may, and each word is followed.
    """

    def __init__(self, cfg: Config, slots: int) -> None:
        self.beats, self.beat = word_beats(cfg), beat_words(cfg)
        self.places = buffer_places(cfg)
        self.words = 0
        """That came, headers and all."""
        self.came = -RUN_CHECK - slots
        """When the last of them did; the first follows the last word of ``RUN``."""
        self.taken: list[int] = []
        """When each word was taken, where words take several beats."""

    def packet(self, payload: int) -> int:
        """When the header of the next packet, of so many words, can be taken."""
        words = -(-(payload + 1) // self.beat) * self.beat
        if self.beats == 1:
            self.came += words
        else:
            for word in range(self.words, self.words + words):
                self.came += self.beats
                if word >= self.places:
                    self.came = max(self.came, self.taken[word - self.places] + BUFFER_ROOM)
        self.words += words
        return self.came + PACKET_STORED

    def take(self, start: int, stop: int) -> None:
        """A word is taken in each of these cycles."""
        if self.beats > 1:
            self.taken += range(start, stop)
