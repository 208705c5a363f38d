"""The answer as files: a page that needs no network, a picture, CSV and JSON."""

import csv
import io
import json
from html import escape
from pathlib import Path
from typing import Any

from host.explore import choice
from host.explore.choice import ESTIMATED, PLACED, SYNTHESIZED, Candidate
from host.explore.run import Answer
from host.program import write_whole

VERSION = 1
"""Of the JSON."""
PAGE, PICTURE, TABLE, RESULT = "report.html", "report.png", "points.csv", "result.json"
SYMBOLS = {ESTIMATED: "circle-open", SYNTHESIZED: "diamond", PLACED: "star"}
MARKERS = {ESTIMATED: "o", SYNTHESIZED: "D", PLACED: "*"}
COLORS = {"up5k": "#1b9e77", "ecp5-25k": "#d95f02", "ecp5-85k": "#7570b3"}
SHOWN = 400
"""Points of each device and state in a chart; beyond that it becomes slow and says no more."""


def shown(answer: Answer) -> list[Candidate]:
    """What a report shows: the front, all that was measured, and the recommendation."""
    kept = {c.point.key: c for c in answer.front[:SHOWN]}
    kept |= {c.point.key: c for c in answer.candidates if c.state != ESTIMATED}
    best = answer.recommendation.candidate
    if best is not None:
        kept.setdefault(best.point.key, best)
    return sorted(kept.values(), key=lambda c: -c.images_per_s)


def record(answer: Answer) -> dict[str, Any]:
    """Everything as plain values."""
    asked, best = answer.question, answer.recommendation
    return {
        "version": VERSION,
        "variants": list(asked.graphs),
        "devices": list(asked.devices),
        "batch": asked.batch,
        "max_latency_ms": asked.wishes.max_latency_ms,
        "max_luts": asked.wishes.max_luts,
        "set": dict(asked.fixed),
        "evaluated": answer.evaluated,
        "model_seconds": round(answer.model_s, 2),
        "model_errors": answer.errors,
        "interrupted": answer.interrupted,
        "meets": best.meets,
        "reason": best.sentence,
        "recommended": best.candidate.record() if best.candidate else None,
        "points": [
            {**c.record(), "on_front": any(c is f for f in answer.front)} for c in shown(answer)
        ],
    }


def write(answer: Answer, folder: Path) -> None:
    """All files, each whole or as it was."""
    values = record(answer)
    write_whole(folder / RESULT, (json.dumps(values, indent=2) + "\n").encode())
    write_whole(folder / TABLE, table(values).encode())
    write_whole(folder / PAGE, page(answer).encode())
    write_whole(folder / PICTURE, picture(answer))


def table(values: dict[str, Any]) -> str:
    """The points as CSV; fields of the configuration in columns of their own."""
    rows = []
    for point in values["points"]:
        flat = {k: v for k, v in point.items() if k not in ("fields", "mhz_by_seed", "command")}
        rows.append({**flat, **point["fields"], "command": point["command"]})
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def _hover(candidate: Candidate) -> str:
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


def _figure(answer: Answer) -> Any:
    from plotly import graph_objects
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=2, subplot_titles=("throughput", "latency"))
    points = shown(answer)
    for column, value in ((1, lambda c: c.images_per_s), (2, lambda c: c.latency_ms)):
        for device in answer.question.devices:
            for state in SYMBOLS:
                mine = [c for c in points if (c.point.device, c.state) == (device, state)]
                if not mine:
                    continue
                figure.add_trace(
                    graph_objects.Scatter(
                        x=[c.resource("luts") for c in mine], y=[value(c) for c in mine],
                        mode="markers", name=f"{device}, {state}", legendgroup=f"{device}{state}",
                        showlegend=column == 1,
                        marker={
                            "symbol": SYMBOLS[state], "color": COLORS[device],
                            "size": 15 if state == PLACED else 9,
                        },
                        text=[_hover(c) for c in mine], hoverinfo="text",
                        customdata=[choice.command(c.point) for c in mine],
                    ),
                    row=1, col=column,
                )  # fmt: skip
        best = answer.recommendation.candidate
        if best is not None:
            figure.add_trace(
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
    figure.update_xaxes(title_text="LUTs", type="log")
    figure.update_yaxes(title_text="images per second", type="log", row=1, col=1)
    figure.update_yaxes(title_text="milliseconds, batch", type="log", row=1, col=2)
    figure.update_layout(
        height=560, template="plotly_white", hovermode="closest", legend={"orientation": "h"},
        hoverlabel={"align": "left"},
    )  # fmt: skip
    return figure


# A page from a disk may not use the clipboard in every browser; the old way then does it.
COPY = """
const chart = document.getElementById('{plot_id}');
chart.on('plotly_click', event => copy(event.points[0].customdata));
"""

SCRIPT = """
function copy(command) {
  if (!command) return;
  const said = document.getElementById('copied');
  const done = () => { said.textContent = 'copied: ' + command; };
  const byHand = () => {
    const box = document.createElement('textarea');
    box.value = command;
    document.body.appendChild(box);
    box.select();
    const copied = document.execCommand('copy');
    box.remove();
    if (copied) { done(); } else { said.textContent = 'to copy: ' + command; }
  };
  if (navigator.clipboard) { navigator.clipboard.writeText(command).then(done, byHand); }
  else { byHand(); }
}
"""

STYLE = """
body { font: 15px/1.45 sans-serif; margin: 1.5em auto; max-width: 1250px; padding: 0 1em; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 3px 9px; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
tr[data-command] { cursor: copy; }
tr[data-command]:hover { background: #eef; }
#reason { font-size: 17px; }
#copied { font-family: monospace; min-height: 1.5em; overflow-wrap: anywhere; }
.estimated { color: #777; font-style: italic; }
"""


def page(answer: Answer) -> str:
    """HTML with everything in it, Plotly too."""
    from plotly import io as plotly_io

    chart = plotly_io.to_html(
        _figure(answer), include_plotlyjs=True, full_html=False, post_script=COPY,
        div_id="chart", config={"displaylogo": False},
    )  # fmt: skip
    names = ", ".join(escape(name) for name in answer.question.graphs)
    early = (
        "<p>The search was interrupted; this is what was known.</p>" if answer.interrupted else ""
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Lepton: {names}</title>
<style>{STYLE}</style>
<h1>{names}, batch {answer.question.batch}</h1>
<p id="reason">{escape(answer.recommendation.sentence)}</p>{early}
<p>Cycles are exact. <span class="estimated">Estimated</span> figures come from a model
({escape(errors(answer))}); only those called measured were counted by Yosys or reached by place and
route. A point tells its configuration; a click copies the command that builds it.</p>
<p id="copied"></p>
<script>{SCRIPT}</script>
{chart}
{_rows(answer)}
</html>
"""


def errors(answer: Answer) -> str:
    """How far the resource model is off, in words."""
    said = []
    for family, found in answer.errors.items():
        parts = ", ".join(f"{kind} {error:.1%}" for kind, error in found.items())
        said.append(f"{family}: median error on results held back {parts}")
    return "; ".join(said)


COLUMNS = (
    ("images/s", "images_per_s", "{:,.0f}"), ("ms", "latency_ms", "{:.3g}"),
    ("MHz", "mhz", "{:.1f}"), ("LUTs", "luts", "{:,}"), ("FFs", "ffs", "{:,}"),
    ("DSPs", "dsps", "{:,}"), ("block RAMs", "brams", "{:,}"),
)  # fmt: skip


def _rows(answer: Answer) -> str:
    head = "".join(f"<th>{name}, estimated<th>measured" for name, _, _ in COLUMNS)
    lines = []
    for candidate in shown(answer)[:100]:
        r = candidate.record()
        cells = []
        for _, key, form in COLUMNS:
            guess, measured = r[f"{key}_estimated"], r[f"{key}_measured"]
            cells.append(f"<td class=estimated>{form.format(guess)}")
            cells.append(f"<td>{form.format(measured) if measured is not None else ''}")
        command = escape(r["command"], quote=True)
        lines.append(
            f'<tr data-command="{command}" onclick="copy(this.dataset.command)">'
            f"<td>{escape(choice.describe(candidate))}<td>{r['price_class']}{''.join(cells)}"
        )
    return f"<table><tr><th>configuration<th>price class{head}\n" + "\n".join(lines) + "</table>"


def picture(answer: Answer) -> bytes:
    """The charts as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    axes = figure.subplots(1, 2)
    points = shown(answer)
    best = answer.recommendation.candidate
    plots = ((axes[0], lambda c: c.images_per_s, "images per second"),
             (axes[1], lambda c: c.latency_ms, "latency of a batch, ms"))  # fmt: skip
    for axis, value, title in plots:
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
        axis.set_ylabel(title)
        axis.grid(alpha=0.3, which="both", linewidth=0.5)
    axes[0].legend(fontsize=8)
    names = ", ".join(answer.question.graphs)
    figure.suptitle(f"{names}, batch {answer.question.batch}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
