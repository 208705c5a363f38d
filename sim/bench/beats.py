"""Words of packets as beats of the link and back, as `hw/link.py` says."""

from collections.abc import Iterable

import numpy as np

from hw import isa

WORD = 32

Beat = tuple[int, bool]
"""Data, and whether it ends a packet."""


def to_beats(words: np.ndarray, last: np.ndarray, width: int) -> list[Beat]:
    """Beats of `width` bits, the first in a word's lowest bits; a wide one is filled with zeros."""
    pairs = zip(words.tolist(), last.tolist(), strict=True)
    if width == WORD:
        return list(pairs)
    beats: list[Beat] = []
    if width < WORD:
        mask, count = (1 << width) - 1, WORD // width
        for word, end in pairs:
            beats += [(word >> (width * i) & mask, end and i == count - 1) for i in range(count)]
        return beats
    value = shift = 0
    for word, end in pairs:
        value, shift = value | word << shift, shift + WORD
        if end or shift == width:
            beats.append((value, end))
            value = shift = 0
    return beats


def to_words(beats: Iterable[int], width: int) -> np.ndarray:
    """uint32 words of one packet from its beats."""
    return of_packet(b"".join(beat.to_bytes(width // 8, "little") for beat in beats), width)


def of_packet(content: bytes, width: int) -> np.ndarray:
    """uint32 words of one packet; of a wide link's padding nothing is left."""
    words = np.frombuffer(content, "<u4")
    # Its header tells whether the second half of the last beat belongs to it.
    if width > WORD and isa.HEADER.from_bits(int(words[0])).length == len(words) - 2:
        words = words[:-1]
    return words.copy()
