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
    (
        r"decoder\.\$procmux\$12936\[0\] S const1",
        "In the state `CHECK` the bit that says `ANSWER` is 0: to clear it and to keep it is the"
        " same.",
    ),
    (
        r"slice\$19335\[4\]\[0\] SRST const0",
        "For one cycle behind a reset it says what the layer before had, and until a layer starts,"
        " much later, what is made of it is made again in every cycle.",
    ),
    (
        r"slice\$18494\[11\]\[0\] SRST const0",
        "It goes with a vector that is not valid behind a reset, and is made in every cycle.",
    ),
    (
        r"decoder\.\$procmux\$12377\[0\] Y const1",
        "A bit of the depth of a memory that does not exist; all that do choose it again behind"
        " it, and a packet that names another is refused before depths are compared.",
    ),
    (
        r"feeder\.\$859\[3\] Y cnot0",
        "It lets the 64 accumulators be counted in another order, each once, and the same in every"
        " pass.",
    ),
    (
        r"decoder\.\$procmux\$12415_CMP0\[1\] A const0",
        "The slots that are left to measure also change in `CHECK_ROWS`; a `RUN` sets them in"
        " `MEASURE_RUN` before it looks at them.",
    ),
    (
        r"decoder\.\$procmux\$17005\[0\] A const0",
        "In the state `CHECK` there is no cause yet, and an opcode that is named gives none"
        " before: the bit is 0.",
    ),
    (
        r"decoder\.\$23\[14\] Y cnot1",
        "It is turned where bit 0 of the sum is 1, and that bit, which only makes the carry, is"
        " the sum of a bit and itself.",
    ),
)
"""What a mutant's description matches, and the argument."""


def argument(mutant: "Mutant") -> str:
    """Why a mutant is equivalent; an empty text when nobody has argued it."""
    for pattern, reason in ARGUMENTS:
        if re.search(pattern, mutant.where):
            return reason
    return ""
