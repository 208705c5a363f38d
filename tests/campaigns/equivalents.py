"""Why mutants that no test catches change nothing that anybody can see."""

from typing import TYPE_CHECKING

from sim.cache import digest

if TYPE_CHECKING:
    from tests.campaigns.mutants import Mutant

VERILOG = "d13062a3266fd3a2665af95bfe4a7e40"
"""Of which the arguments are. In any other, Yosys gives the numbers in names to other cells."""

ARGUMENTS: dict[str, str] = {
    r"runner.lanes.lane_0.order_1.address[4] D cnot1": (
        "It lets the 64 accumulators be counted in another order, each once, the same for reading "
        "and for writing."
    ),
    r"$flatten\runner.\post.\requant_0_0.$ge$lepton.v:14447$7041[12] A cnot1": (
        "Bit 12 of 48 turns where bit 32 is set: a positive number is then above 511 with or "
        "without it, and a negative one stays negative."
    ),
    r"$flatten\decoder.$procmux$13598[0] B const1": (
        "In the state `LOOK` the bit that says `COUNT` is 0, and each known opcode clears it again."
    ),
    r"$auto$simple.cc:194:make_patterns_logic$18938[0] A const0": (
        "It lets a packet buffer that skips words leave that state only when a word is taken; in "
        "that state every word is."
    ),
    r"runner.feeder.$signal[28] Q const1": (
        "The upper bit of a window's last row is compared with a count that begins with 2: for two "
        "rows 1 and 3 are both unequal to it, for more the bit is 1, and for one nothing is."
    ),
}
"""By where the mutant is."""


def argument(mutant: "Mutant", verilog: str) -> str:
    """Why a mutant of that Verilog is equivalent; an empty text when nobody has argued it."""
    return ARGUMENTS.get(mutant.where, "") if digest(verilog) == VERILOG else ""
