"""The roofline of a profile: how near each layer comes to the multipliers and to each memory."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from host.errors import LeptonError
from host.layer_costs import MEMORIES, LayerCost, bandwidths, intensities
from hw.config import Config

FORMATS = (".png", ".svg")


def roofline(layers: Sequence[LayerCost], cfg: Config, title: str) -> Figure:
    """A panel for each memory: what its bytes allow, what the multipliers do, and the layers."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=12)
    panels = figure.subplots(1, len(MEMORIES), sharey=True)
    rates = [layer.macs / layer.cycles for layer in layers if layer.cycles and layer.macs]
    low = min(rates, default=1.0) / 3
    for panel, (name, (text, _)) in zip(panels, MEMORIES.items(), strict=True):
        _roofs(panel, name, layers, cfg, low)
        panel.set_title(text, fontsize=10)
        panel.set_xlabel("multiply-accumulates per byte")
        for i, layer in enumerate(layers):
            found = intensities(layer).get(name)
            if found is None or not layer.cycles:
                continue
            rate = layer.macs / layer.cycles
            panel.plot(
                found, rate, "osD^vP*X"[i % 8], color=f"C{i % 10}", markersize=8, zorder=3,
                markeredgecolor="white", markeredgewidth=0.8,
            )  # fmt: skip
    panels[0].set_ylabel("multiply-accumulates per cycle")
    for i, layer in enumerate(layers):
        if layer.macs:
            panels[0].plot(
                [], [], "osD^vP*X"[i % 8], color=f"C{i % 10}", markersize=8,
                label=f"{layer.name}  {layer.utilization or 0:.0%}",
            )  # fmt: skip
    figure.legend(loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    return figure


def _roofs(panel: Axes, name: str, layers: Sequence[LayerCost], cfg: Config, low: float) -> None:
    bandwidth = bandwidths(cfg)[name]
    ridge = cfg.pes / bandwidth
    found = [intensities(layer).get(name, ridge) for layer in layers]
    left, right = min([ridge, *found]) / 4, max([ridge, *found]) * 6
    panel.plot(
        [left, ridge, right], [left * bandwidth, cfg.pes, cfg.pes], color="0.25", linewidth=1.6
    )
    panel.fill_between(
        [left, ridge, right], [left * bandwidth, cfg.pes, cfg.pes], 2.6 * cfg.pes,
        color="0.94", zorder=0, linewidth=0,
    )  # fmt: skip
    panel.annotate(
        f"{cfg.pes} PEs", (right, cfg.pes), (-4, 4), textcoords="offset points",
        ha="right", va="bottom", fontsize=9,
    )  # fmt: skip
    panel.annotate(
        f"{bandwidth:g} B/cycle", (ridge, cfg.pes), (-4, 4), textcoords="offset points",
        ha="right", va="bottom", fontsize=9,
    )  # fmt: skip
    panel.set(xscale="log", yscale="log", xlim=(left, right), ylim=(low, 2.6 * cfg.pes))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        axis.set_tick_params(labelsize=8)
    panel.grid(color="0.88", linewidth=0.6)
    panel.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Writes PNG or SVG, by the suffix; the same bytes for the same figure."""
    if path.suffix not in FORMATS:
        raise LeptonError(f"a roofline is written as {' or '.join(FORMATS)}, not as {path.name}")
    with rc_context({"svg.hashsalt": "lepton", "svg.fonttype": "none"}):
        svg = path.suffix == ".svg"
        try:
            figure.savefig(path, dpi=130, metadata={"Date": None} if svg else None)
        except OSError as error:
            raise LeptonError(f"{path} cannot be written: {error.strerror}") from error
