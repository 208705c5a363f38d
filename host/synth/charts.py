"""The cost of a build as a picture."""

from pathlib import Path

from host.synth.flow import Synthesis

SHOWN = ("luts", "ffs")


def draw(synthesis: Synthesis, path: Path) -> None:
    """Writes a picture: what each block of the core takes, and how full the part is."""
    from matplotlib.figure import Figure

    cfg, device = synthesis.config, synthesis.device
    names = list(synthesis.blocks)[::-1]
    figure = Figure(figsize=(9, 0.32 * len(names) + 3), layout="constrained")
    costs, fill = figure.subplots(2, 1, height_ratios=[max(4, len(names)), 4])
    for offset, kind in zip((0.2, -0.2), SHOWN, strict=True):
        values = [synthesis.blocks[name].record()[kind] for name in names]
        costs.barh([i + offset for i in range(len(names))], values, 0.4, label=kind)
    costs.set_yticks(range(len(names)), names)
    costs.set_title(f"Lepton {cfg.rows} x {cfg.cols} on {device.name}: cells of each block")
    costs.legend()
    there = {name: count for name, count in device.available.items() if count}
    used = synthesis.usage.record()
    shares = [100 * used[name] / count for name, count in there.items()]
    fill.barh(list(there), shares)
    for i, (name, count) in enumerate(there.items()):
        fill.text(shares[i], i, f" {used[name]:,} of {count:,}", va="center")
    fill.set_xlim(0, 130)
    fill.set_xlabel("% of the part")
    figure.savefig(path, dpi=110)
