"""Where the multiplier blocks of an array stand on an ECP5.

nextpnr solves for short wires as if blocks could be anywhere, and then moves them to the next free
ones of the few rows that there are. Of several lanes, which take most of them, the blocks end up
mixed over all rows, and everything around them follows.

So the blocks of one column of an array stand side by side. Down a column go sums and weights, from
one processing element to the next; along a row goes an activation, which is far narrower.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

BLOCK = "MULT18X18D"

NAME = re.compile(r"\.lane_(\d+)\.array\.row_(\d+)\.multipliers\.block_(\d+)$")
"""Lane, row and column of an array's block."""


def column(name: str) -> tuple[int, int] | None:
    """Lane and column of an array's block; None for any other."""
    found = NAME.search(name)
    return (int(found[1]), int(found[3])) if found else None


def assign(module: Mapping[str, Any], rows: Sequence[Sequence[str]]) -> int:
    """Gives sites to the blocks of several lanes' arrays in a flat module as Yosys' ``write_json``
    has it, and returns to how many; nextpnr places all others.

    `rows` are the part's sites, row by row and from left to right. Each row gets as many whole
    columns, lane by lane, and keeps what is over at its end, for products outside of the arrays;
    where lanes take more rows than one, they turn there. If a row has too few, no block gets a
    site.
    """
    columns: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    for name, cell in module["cells"].items():
        found = NAME.search(name) if cell["type"] == BLOCK else None
        if found:
            columns[int(found[1]), int(found[3])].append((int(found[2]), name))
    lanes = {lane for lane, _ in columns}
    if len(lanes) < 2 or not rows:
        return 0
    ordered = [[name for _, name in sorted(columns[of])] for of in sorted(columns)]
    per_row = -(-len(ordered) // len(rows))
    turns = per_row % (len(ordered) // len(lanes)) != 0
    placed: dict[str, str] = {}
    for number, row in enumerate(rows):
        group = ordered[number * per_row : (number + 1) * per_row]
        if turns and number % 2:
            group.reverse()
        names = [name for of in group for name in of]
        if len(names) > len(row):
            return 0
        placed.update(zip(names, row, strict=False))
    for name, site in placed.items():
        module["cells"][name].setdefault("attributes", {})["BEL"] = site
    return len(placed)
