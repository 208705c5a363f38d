"""When a side of the link pauses: patterns by name, one bool a cycle, true to pause."""

from collections.abc import Iterator
from random import Random

Pauses = Iterator[bool]


def pauses(name: str, seed: int = 0) -> Pauses | None:
    """An endless pattern, the same one for a seed; None for the one that never pauses."""
    return None if name == "none" else PATTERNS[name](Random(f"{name} {seed}"))


def _every_third(random: Random) -> Pauses:
    while True:
        yield from (True, True, False)


def _half(random: Random) -> Pauses:
    while True:
        yield random.random() < 0.5


def _mostly(random: Random) -> Pauses:
    while True:
        yield random.random() < 0.9


def _bursts(random: Random) -> Pauses:
    """Runs of about 12 cycles that move and of about 40 that do not."""
    while True:
        yield from runs(random, 12, 40)


def _windows(random: Random) -> Pauses:
    """Nothing moves for so long that everything behind it is full, or empty."""
    while True:
        yield from runs(random, 300, 2500)


def _shut(random: Random) -> Pauses:
    """Nothing moves until everything stands still; from then on, all of it."""
    yield from [True] * SHUT
    while True:
        yield False


def _drip(random: Random) -> Pauses:
    """Single cycles, far apart, and once in a while two."""
    while True:
        yield from [True] * random.randint(5, 45) + [False] * random.choice((1, 1, 1, 2))


SHUT = 20_000
"""Cycles: far more than any buffer takes to fill."""


def runs(random: Random, go: float, stop: float) -> Pauses:
    """A run of each kind, of exponentially distributed lengths."""
    yield from [False] * (1 + int(random.expovariate(1 / go)))
    yield from [True] * (1 + int(random.expovariate(1 / stop)))


PATTERNS = {
    "every third": _every_third,
    "half": _half,
    "mostly": _mostly,
    "bursts": _bursts,
    "windows": _windows,
    "drip": _drip,
    "shut": _shut,
}

PAIRS = (
    ("none", "none"),
    ("every third", "none"),
    ("none", "every third"),
    ("half", "half"),
    ("bursts", "bursts"),
    ("none", "windows"),
    ("windows", "none"),
    ("mostly", "drip"),
    ("none", "shut"),
)
"""Patterns of the input and the output that go well together."""
