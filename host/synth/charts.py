"""The cost of a build as a picture."""

import re
from pathlib import Path
from typing import Any

from host.errors import LeptonError
from host.synth import netlist
from host.synth.flow import Synthesis
from host.synth.placement import Placement

SHOWN = ("luts", "ffs")
OTHERS = "others"
LEGEND = 9
"""Blocks with a colour of their own; the small ones share grey."""

FORMATS = (".png", ".svg")


def check_format(path: Path) -> None:
    """Refuses what no picture can be written as."""
    if path.suffix not in FORMATS:
        raise LeptonError(f"--picture: {path.name} ends in none of {', '.join(FORMATS)}")


def draw(title: str, synthesis: Synthesis, placement: Placement | None, path: Path) -> None:
    """Writes a picture: what each block takes, how full the part is, and where everything went."""
    from matplotlib.figure import Figure

    names = list(synthesis.blocks)[::-1]
    height = max(6.0, 0.3 * len(names) + 2.5)
    figure = Figure(figsize=(14 if placement else 8, height), layout="constrained")
    figure.suptitle(title)
    # Matplotlib's annotations forget that two are an array.
    columns: Any = figure.subfigures(1, 2, width_ratios=[8, 6]) if placement else [figure]
    costs, fill = columns[0].subplots(2, 1, height_ratios=[max(4, len(names)), 5])
    for offset, kind in zip((0.2, -0.2), SHOWN, strict=True):
        values = [synthesis.blocks[name].record()[kind] for name in names]
        costs.barh([i + offset for i in range(len(names))], values, 0.4, label=kind)
    costs.set_yticks(range(len(names)), names)
    costs.set_ylim(-0.6, len(names) - 0.4)
    costs.set_title("cells of each block")
    costs.legend(loc="lower right")
    there = {name: count for name, count in synthesis.device.available.items() if count}
    used = synthesis.usage.record()
    shares = [100 * used[name] / count for name, count in there.items()]
    fill.barh(list(there), shares, color="tab:gray")
    for i, (name, count) in enumerate(there.items()):
        fill.text(shares[i], i, f" {used[name]:,} of {count:,}", va="center")
    fill.set_xlim(0, 130)
    fill.invert_yaxis()
    fill.set_title("% of the part")
    if placement:
        _floorplan(columns[1].subplots(), synthesis, placement)
    figure.savefig(path, dpi=100)


def _floorplan(axes, synthesis: Synthesis, placement: Placement) -> None:
    """Each cell as a dot at its site, in the colour of its block."""
    blocks: dict[str, list[tuple[float, float]]] = {}
    shown = [name for name in synthesis.blocks if name != "pins"][:LEGEND]
    for cell, site in placement.sites().items():
        found = re.match(r"X(\d+)/Y(\d+)/(.*)", site)
        if found is None:
            continue
        x, y = int(found[1]), int(found[2])
        block = netlist.block_of(cell)
        # The sites of a tile in a square of four by four, in a fixed order.
        place = _within(found[3])
        at = (x + (place % 4) / 4, y + (place // 4) / 4)
        blocks.setdefault(block if block in shown else OTHERS, []).append(at)
    for i, name in enumerate([*shown, OTHERS]):
        dots = blocks.get(name, [])
        color = f"C{i}" if name != OTHERS else "lightgray"
        axes.scatter(
            [x for x, _ in dots], [y for _, y in dots], s=1.5, marker="s", linewidths=0,
            color=color, label=name,
        )  # fmt: skip
    axes.set_aspect("equal")
    axes.set_title(f"floorplan, {placement.frequencies[placement.best]:.1f} MHz")
    axes.legend(markerscale=5, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=4)


def _within(name: str) -> int:
    """A number below 16 for the site of that name within its tile."""
    number = re.search(r"\d+", name.replace("SLICE", ""))
    return int(number[0]) % 16 if number else sum(map(ord, name)) % 16
