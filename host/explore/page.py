"""The answer as a page that needs nothing else: HTML with Plotly in it."""

from html import escape

from host.explore import charts, choice
from host.explore.run import Answer

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
        charts.figure(answer), include_plotlyjs=True, full_html=False, post_script=COPY,
        div_id="chart", config={"displaylogo": False},
    )  # fmt: skip
    names = ", ".join(escape(name) for name in answer.question.graphs)
    early = (
        "<p>The search was interrupted; this is what was known.</p>" if answer.interrupted else ""
    )
    accuracies = f"<p>Accuracy: {escape(answer.accuracies)}.</p>" if answer.accuracies else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Lepton: {names}</title>
<style>{STYLE}</style>
<h1>{names}, batch {answer.question.batch}</h1>
<p id="reason">{escape(answer.recommendation.sentence)}</p>{accuracies}{early}
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
    for candidate in charts.shown(answer)[:100]:
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
