"""Where the multiplier blocks of an array stand on an ECP5.

nextpnr solves for short wires as if blocks could be anywhere, and then moves them to the next free
ones of the few rows that there are. Of several lanes, which take most of them, the blocks end up
mixed over all rows, and everything around them follows.

So the blocks of one column of an array stand side by side. Down a column go sums and weights, from
one processing element to the next; along a row goes an activation, which is far narrower.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, groupby
from typing import Any

BLOCK = "MULT18X18D"

NAME = re.compile(r"\.lane_(\d+)\.array\.row_(\d+)\.multipliers\.block_(\d+)$")


def place(name: str) -> tuple[int, int, int] | None:
    """Lane, column and row of an array's block; None for any other."""
    found = NAME.search(name)
    return (int(found[1]), int(found[3]), int(found[2])) if found else None


def assign(module: Mapping[str, Any], rows: Sequence[Sequence[str]]) -> int:
    """Gives sites to the blocks of several lanes' arrays in a flat module as Yosys' ``write_json``
    has it, and returns to how many; nextpnr places all others.

    `rows` are the part's sites, row by row and from left to right. Each row gets as many whole
    columns, lane by lane, and keeps what is over at its end, for products outside of the arrays;
    where lanes take more rows than one, they turn there. If a row has too few, no block gets a
    site.
    """
    blocks = sorted(
        (at, name)
        for name, cell in module["cells"].items()
        if cell["type"] == BLOCK and (at := place(name)) is not None
    )
    lanes = len({lane for (lane, _, _), _ in blocks})
    if lanes < 2 or not rows:
        return 0
    columns = [[name for _, name in of] for _, of in groupby(blocks, lambda block: block[0][:2])]
    per_row = -(-len(columns) // len(rows))
    turns = per_row % (len(columns) // lanes) != 0
    sites: dict[str, str] = {}
    for number, row in enumerate(rows):
        group = columns[number * per_row : (number + 1) * per_row]
        if turns and number % 2:
            group.reverse()
        names = list(chain.from_iterable(group))
        if len(names) > len(row):
            return 0
        sites.update(zip(names, row, strict=False))
    for name, site in sites.items():
        module["cells"][name].setdefault("attributes", {})["BEL"] = site
    return len(sites)
