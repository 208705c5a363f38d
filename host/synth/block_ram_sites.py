"""Where the block RAMs of the control logic stand on an ECP5.

nextpnr solves for short wires as if block RAMs could be anywhere, and then moves them to the next
free ones of the few rows that there are: program and packets end up as far as 90 tiles from what
reads them, which is 5.7 ns. The datapath has registers on its way; these memories are read into the
middle of decisions. So they get sites side by side, and the logic gathers around them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

KIND = re.compile(r"DP16KD|PDPW16KD")

CLOSE = ("packets.memory.", "packets.causes.", "sequencer.memory.", "post.orders.", "table")
"""Parts of the names of memories, in the order in which they stand."""


def assign(module: Mapping[str, Any], sites: Sequence[str]) -> int:
    """Gives sites to the control logic's block RAMs of a flat module as Yosys' ``write_json`` has
    it, and returns to how many; nextpnr places the others."""
    blocks = sorted(name for name, cell in module["cells"].items() if KIND.match(cell["type"]))
    close = [name for part in CLOSE for name in blocks if f".{part}" in name]
    for name, site in zip(close, sites, strict=False):
        module["cells"][name].setdefault("attributes", {})["BEL"] = site
    return min(len(close), len(sites))
