"""The answer drawn: as Plotly's charts for the page, and as a picture."""

import io
from html import escape
from typing import Any

from host.explore import choice
from host.explore.choice import ESTIMATED, PLACED, SYNTHESIZED, Candidate
from host.explore.run import Answer

SYMBOLS = {ESTIMATED: "circle-open", SYNTHESIZED: "diamond", PLACED: "star"}
MARKERS = {ESTIMATED: "o", SYNTHESIZED: "D", PLACED: "*"}
COLORS = {"up5k": "#1b9e77", "ecp5-25k": "#d95f02", "ecp5-85k": "#7570b3"}
SHOWN = 400
"""Points of the front in a chart; beyond that it becomes slow and says no more."""


def shown(answer: Answer) -> list[Candidate]:
    """What a report shows: the front, all that was measured, and the recommendation."""
    kept = {c.point.key: c for c in answer.front[:SHOWN]}
    kept |= {c.point.key: c for c in answer.candidates if c.state != ESTIMATED}
    best = answer.recommendation.candidate
    if best is not None:
        kept.setdefault(best.point.key, best)
    return sorted(kept.values(), key=lambda c: -c.images_per_s)


def hover(candidate: Candidate) -> str:
    """What a point says of itself, each figure with how it is known."""
    r, cfg = candidate.record(), candidate.point.config

    def figure(name: str, unit: str = "") -> str:
        measured = r[f"{name}_measured"]
        value, how = (measured, "measured") if measured is not None else (
            r[f"{name}_estimated"], "estimated"
        )  # fmt: skip
        return f"{value:,}{unit} {how}"

    return "<br>".join(
        (
            f"<b>{escape(choice.describe(candidate))}</b>",
            f"batch {candidate.point.batch}, {candidate.point.cycles.per_image:,.0f} cycles per "
            "image (exact)",
            f"throughput {figure('images_per_s', ' images/s')}",
            f"latency {figure('latency_ms', ' ms')}",
            f"frequency {figure('mhz', ' MHz')}",
            f"LUTs {figure('luts')}, FFs {figure('ffs')}",
            f"DSPs {figure('dsps')}, block RAMs {figure('brams')}, SPRAMs {figure('sprams')}",
            f"requantizers {cfg.requantizers}, accumulators {cfg.acc_depth} x {cfg.acc_width} bits",
            f"results {cfg.result_depth}, weights {cfg.weight_depth:,} words, scratchpad "
            f"{cfg.scratchpad_bytes:,} bytes",
        )
    )


def _mark(answer: Answer) -> str:
    return "recommended" if answer.recommendation.meets else "nearest"


def figure(answer: Answer) -> Any:
    from plotly import graph_objects
    from plotly.subplots import make_subplots

    drawn = make_subplots(rows=1, cols=2, subplot_titles=("throughput", "latency"))
    points = shown(answer)
    for column, value in ((1, lambda c: c.images_per_s), (2, lambda c: c.latency_ms)):
        for device in answer.question.devices:
            for state in SYMBOLS:
                mine = [c for c in points if (c.point.device, c.state) == (device, state)]
                if not mine:
                    continue
                drawn.add_trace(
                    graph_objects.Scatter(
                        x=[c.resource("luts") for c in mine], y=[value(c) for c in mine],
                        mode="markers", name=f"{device}, {state}", legendgroup=f"{device}{state}",
                        showlegend=column == 1,
                        marker={
                            "symbol": SYMBOLS[state], "color": COLORS[device],
                            "size": 15 if state == PLACED else 9,
                        },
                        text=[hover(c) for c in mine], hoverinfo="text",
                        customdata=[choice.command(c.point) for c in mine],
                    ),
                    row=1, col=column,
                )  # fmt: skip
        best = answer.recommendation.candidate
        if best is not None:
            drawn.add_trace(
                graph_objects.Scatter(
                    x=[best.resource("luts")], y=[value(best)], mode="markers", hoverinfo="skip",
                    name=_mark(answer),
                    showlegend=column == 1, legendgroup="best",
                    marker={
                        "symbol": "circle-open", "size": 24, "color": "#000", "line": {"width": 2}
                    },
                ),
                row=1, col=column,
            )  # fmt: skip
    drawn.update_xaxes(title_text="LUTs", type="log")
    drawn.update_yaxes(title_text="images per second", type="log", row=1, col=1)
    drawn.update_yaxes(title_text="milliseconds, batch", type="log", row=1, col=2)
    drawn.update_layout(
        height=560, template="plotly_white", hovermode="closest", legend={"orientation": "h"},
        hoverlabel={"align": "left"},
    )  # fmt: skip
    return drawn


def picture(answer: Answer, title: str = "") -> bytes:
    """The charts as PNG; the title is the variants and the batch unless another is given."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 2)
    points = shown(answer)
    best = answer.recommendation.candidate
    names = ", ".join(answer.question.graphs)
    plots = ((axes[0], lambda c: c.images_per_s, "images per second"),
             (axes[1], lambda c: c.latency_ms, "latency of a batch, ms"))  # fmt: skip
    for axis, value, label in plots:
        for device in answer.question.devices:
            for state, marker in MARKERS.items():
                mine = [c for c in points if (c.point.device, c.state) == (device, state)]
                axis.scatter(
                    [c.resource("luts") for c in mine], [value(c) for c in mine], marker=marker,
                    s=90 if state == PLACED else 22, label=f"{device}, {state}" if mine else None,
                    facecolors="none" if state == ESTIMATED else COLORS[device],
                    edgecolors=COLORS[device], linewidths=0.8,
                )  # fmt: skip
        if best is not None:
            axis.scatter(
                [best.resource("luts")], [value(best)], s=260, facecolors="none",
                edgecolors="black", label=_mark(answer),
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_yscale("log")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
            scale.set_major_formatter(lambda value, _: f"{value:,.10g}")
            scale.set_minor_formatter(NullFormatter())
        axis.set_xlabel("LUTs")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3, which="both", linewidth=0.5)
    axes[0].legend(fontsize=8)
    figure.suptitle(title or f"{names}, batch {answer.question.batch}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
