"""Why mutants that no test catches change nothing that anybody can see."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaigns.mutants import Mutant

ARGUMENTS: tuple[tuple[str, str], ...] = (
    (
        r"decoder\..*1201\S*\[14\] A const0",
        "`no_rows` is looked at only in READ_HEADER, which packets of more than `packet_words`"
        " words, so of bit 14, never reach.",
    ),
    (
        r"decoder\.\$eq\$lepton.v:1307\S*\[3\] B const0",
        "The operand is the number of a state, 0x16, whose bit 3 is 0 anyway.",
    ),
    (
        r"sequencer\.\$procmux\$7397_CMP0\[2\] B const1",
        "The operand is the number of a word, 22, whose bit 2 is 1 anyway.",
    ),
    (
        r"post\.\\orders\.\$eq\$lepton.v:12734\S*\[2\] B const1",
        "The operand is an address, 14, whose bit 2 is 1 anyway.",
    ),
    (
        r"layer\.block_last\[\d+\] (B|Q) const0",
        "Blocks are the outermost loop: it begins again only with the next layer, from that"
        " layer's own field, so this copy is never read.",
    ),
    (
        r"weights\.word_1\[0\] Q const0",
        "A row of weights of this core is one word: the number of the word in it is always 0.",
    ),
    (
        r"lane_0\.order_1\.address\[5\] D inv",
        "Both the reads and the writes of the accumulators have their address from here: the"
        " accumulators only change places.",
    ),
    (
        r"counters\$130\.\S*(values\[127\]|read__data\[[57]\]\[(27|30)\]|\$add\S*\[30\])",
        "Not equal, but out of reach: the bit changes after 2**27 cycles of one cause or more,"
        " which no simulation here runs.",
    ),
    (
        r"reduce_or\$lepton.v:1236\S*\[12\] A cnot1|logic_not\$lepton.v:1230\S*\[22\] A cnot1",
        "The bit is turned only where another bit is 1 that decides the same comparison with zero.",
    ),
    (
        r"feeder\.\$and\$lepton.v:6152\S*\[0\] B const1",
        "Where an outer loop advances, its step comes later and wins; where none does, the layer"
        " ends, and nobody uses the address.",
    ),
    (
        r"decoder\.\$procmux\$11626\[0\]\[0\] B const0",
        "The operand is what the count of words in a row starts from: 0 anyway.",
    ),
    (
        r"decoder\.payload\[4\]\[3\] B cnot1",
        "Not equal, but out of reach: a run that asks for 2**27 words asks for 8 more.",
    ),
    (
        r"decoder\.\$157\[27\] Y const0",
        "Not equal, but out of reach: bit 27 of a counter, after 2**27 cycles.",
    ),
)
"""What a mutant's description matches, and the argument."""


def argument(mutant: "Mutant") -> str:
    """Why a mutant is equivalent; an empty text when nobody has argued it."""
    for pattern, reason in ARGUMENTS:
        if re.search(pattern, mutant.where):
            return reason
    return ""
