"""Why mutants that no test catches change nothing that anybody can see."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaigns.mutants import Mutant

ARGUMENTS: tuple[tuple[str, str], ...] = (
    (
        r"requant_0_0\.\$lt\S*\[4\] B inv",
        "The lower end of the coarse range is -496 instead of -512: what lies below either is"
        " clamped to `lo`, whatever the zero point is.",
    ),
    (
        r"decoder\.arguments\.\$33\[0\] Y const1",
        "It says that 1 is added to `row`, which matters only where no other value is taken; and"
        " there it is 1.",
    ),
    (
        r"arguments\.\$procmux\$11817\[0\] B const1",
        "Each word of a `RUN` becomes the input that is left, and the last one stays: the right"
        " one. No other packet with arguments is carried out during a run.",
    ),
    (
        r"packets\.\$2\[0\] A const0",
        "Not equal, but within what is promised: a word waits in front of the register instead of"
        " in it until it is asked for, and may come a cycle later where the link pauses.",
    ),
    (
        r"feeder\.\$3\[0\] Y const1",
        "Where an outer loop advances, its step comes later and wins; where none does, the layer"
        " ends, and nobody uses the address.",
    ),
    (
        r"make_patterns_logic\$14159\[2\] A const1",
        "It lets `move` change where no loop moves on: there the layer ends, or sends no result"
        " before `move` is set again.",
    ),
    (
        r"requant_0_0\.\$ge\S*\[36\] A cnot1",
        "Bit 36 of 48 turns where bit 28 is set: a positive number is then above 511 with or"
        " without it, and a negative one stays negative.",
    ),
    (
        r"accumulators\.\$26\[0\] Y const1",
        "A total that leaves as a result is also kept; whatever program the compiler writes, the"
        " next sum in that place starts from zero.",
    ),
)
"""What a mutant's description matches, and the argument."""


def argument(mutant: "Mutant") -> str:
    """Why a mutant is equivalent; an empty text when nobody has argued it."""
    for pattern, reason in ARGUMENTS:
        if re.search(pattern, mutant.where):
            return reason
    return ""
