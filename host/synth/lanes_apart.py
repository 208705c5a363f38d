"""Keeps what is in one lane of a core apart from what is in the others.

All lanes do the same in the same cycle, so many of their registers are equal, and Yosys takes
registers that are equal for one: the scratchpads of all lanes would hang on one address, over wires
as long as the part (docs/decisions/0016-registers-of-each-lane.md).
"""

KEEP = "setattr -set keep 1 *.lanes.lane_*/t:$*dff* *.lanes.lane_*.array*/t:$*dff* %d"
"""What Yosys does before the whole becomes one module. Arrays are left out: the weights of all
lanes are the same, and four multipliers of a part stand together that have no more than four
enables, of which there is one for each diagonal of an array."""

RELEASE = ("setattr -unset keep t:TRELLIS_FF", "opt_clean")
"""What it does at the end, so that registers which nothing needs go."""
