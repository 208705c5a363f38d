"""Where the cells of a build went."""

import re
from collections.abc import Mapping

import numpy as np

from host.synth import netlist
from host.synth.placement import Placement

SIZES = {"ram": (1, 2), "mac": (1, 5), "spram": (1, 4), "EBR": (1, 1), "MULT": (1, 1)}
"""Tiles that a block takes, for the picture, by what the name of its site begins with; across and
up."""

GRID = {"ice40": (2, 4), "ecp5": (4, 4)}
"""Sites of a tile of logic, across and up."""


def draw(axes, placement: Placement, colors: Mapping[str, object], others: str) -> None:
    """Draws each cell at its site in the colour of its block: those of logic small, the part's
    larger blocks framed."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    across, up = GRID[placement.device.family]
    logic: list[tuple[int, int]] = []
    shades: list[object] = []
    for cell, site in placement.sites().items():
        found = re.match(r"X(\d+)/Y(\d+)/(.*)", site)
        if found is None:
            continue
        x, y, name = int(found[1]), int(found[2]), found[3]
        color = colors.get(netlist.block_of(cell), others)
        place = _place(name)
        if place is not None:
            logic.append((x * across + place % across, y * up + place // across))
            shades.append(color)
            continue
        kind = next((kind for kind in SIZES if name.startswith(kind)), None)
        if kind is not None:
            # Several blocks may have one tile's name; they stand beside each other.
            width, height = SIZES[kind]
            step = 0.5 * _number(name) if kind == "spram" else 0
            corner = (x - 0.5 + step % 1, y - 0.5)
            shown = Rectangle(corner, width - 0.5 * (kind == "spram"), height, facecolor=color,
                              edgecolor="black", linewidth=0.6, zorder=2)  # fmt: skip
            axes.add_patch(shown)
    wide, high = (1 + max((each[i] for each in logic), default=0) for i in (0, 1))
    picture = np.ones((-(-high // up) * up, -(-wide // across) * across, 3))
    for (x, y), color in zip(logic, shades, strict=True):
        picture[y, x] = to_rgb(color)  # pyright: ignore[reportArgumentType]
    height, width, _ = picture.shape
    axes.imshow(
        picture, origin="lower", interpolation="nearest", zorder=1,
        extent=(-0.5, width / across - 0.5, -0.5, height / up - 0.5),
    )  # fmt: skip
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.set_xlabel("tiles; framed: block RAM, multipliers, SPRAM")


def _place(name: str) -> int | None:
    """Which site of its tile that is, for one of logic."""
    cell = re.fullmatch(r"lc(\d)", name)
    if cell:
        return int(cell[1])
    part = re.fullmatch(r"SLICE([A-D])\.(COMB|FF|RAMW)(\d?)", name)
    if part is None:
        return None
    return 4 * "ABCD".index(part[1]) + 2 * (part[2] == "FF") + int(part[3] or 0)


def _number(name: str) -> int:
    return int(re.sub(r"\D", "", name) or 0)
