"""Why mutants that no test catches change nothing that anybody can see."""

from typing import TYPE_CHECKING

from sim.cache import digest

if TYPE_CHECKING:
    from tests.campaigns.mutants import Mutant

VERILOG = "64f8b14a32b07d71bcaf21611cabeac1"
"""Of which the arguments are. In any other, Yosys gives the numbers in names to other cells."""

ARGUMENTS: dict[str, str] = {
    r"$flatten\decoder.$procmux$12936[0] S const1": (
        "In the state `CHECK` the bit that says `ANSWER` is 0: to clear it and to keep it is "
        "the same."
    ),
    r"$auto$ff.cc:337:slice$19335[4][0] SRST const0": (
        "For one cycle behind a reset it says what the layer before had, and until a layer "
        "starts, much later, what is made of it is made again in every cycle."
    ),
    r"$auto$ff.cc:337:slice$18494[11][0] SRST const0": (
        "It goes with a vector that is not valid behind a reset, and is made in every cycle."
    ),
    r"$flatten\decoder.$procmux$12377[0] Y const1": (
        "A bit of the depth of a memory that does not exist; all that do choose it again "
        "behind it, and a packet that names another is refused before depths are compared."
    ),
    r"runner.feeder.$859[3] Y cnot0": (
        "It lets the 64 accumulators be counted in another order, each once, and the same in "
        "every pass."
    ),
    r"$flatten\decoder.$procmux$12415_CMP0[1] A const0": (
        "The slots that are left to measure also change in `CHECK_ROWS`; a `RUN` sets them in "
        "`MEASURE_RUN` before it looks at them."
    ),
    r"runner.lanes.lane_0.accumulators.$26[0] Y const1": (
        "A total that leaves as a result is also kept; whatever program the compiler writes, "
        "the next sum in that place starts from zero."
    ),
    r"$flatten\decoder.$procmux$17005[0] A const0": (
        "In the state `CHECK` there is no cause yet, and an opcode that is named gives none "
        "before: the bit is 0."
    ),
    r"decoder.$23[14] Y cnot1": (
        "It is turned where bit 0 of the sum is 1, and that bit, which only makes the carry, "
        "is the sum of a bit and itself."
    ),
    r"$flatten\runner.\post.\requant_0_0.$ge$lepton.v:15163$7060[36] A cnot1": (
        "Bit 36 of 48 turns where bit 28 is set: a positive number is then above 511 with or "
        "without it, and a negative one stays negative."
    ),
}
"""By where the mutant is."""


def argument(mutant: "Mutant", verilog: str) -> str:
    """Why a mutant of that Verilog is equivalent; an empty text when nobody has argued it."""
    return ARGUMENTS.get(mutant.where, "") if digest(verilog) == VERILOG else ""
