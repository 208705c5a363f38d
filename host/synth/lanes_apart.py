"""Keeps what is in one lane of a core apart from what is in the others.

All lanes do the same in the same cycle, so many of their registers are equal, and Yosys takes
registers that are equal for one: the array of each lane would hang on the weights of all, and its
scratchpad on one address, over wires as long as the part (docs/decisions/0016-lanes-apart.md).
"""

LANES = "*.lanes.lane_*"
"""Modules of Yosys' that make a lane."""

SWAPS = f"{LANES}/w:*swap* %ci1 {LANES}/t:$*dff* %i"

KEEP: tuple[str, ...] = (
    # Within a lane the registers of a swap, which are equal along a diagonal of the array, are
    # taken for one first, bit by bit: a block of four multipliers takes no more than four enables.
    f"flatten {LANES}",
    f"opt_dff {LANES}",
    f"simplemap {SWAPS}",
    f"opt_merge {LANES}",
    f"opt_clean {LANES}",
    f"setattr -set keep 1 {LANES}/t:$*dff* {LANES}/t:$_*DFF*",
)
"""What Yosys does before the whole becomes one module."""

RELEASE: tuple[str, ...] = ("setattr -unset keep t:TRELLIS_FF", "opt_clean")
"""What it does at the end, so that registers which nothing needs go."""
