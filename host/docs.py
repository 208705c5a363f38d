"""Keeps the tables of README.md and docs/ equal to what they describe: code and measurements.

A table stands between the lines ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
``python -m host.docs`` writes all of them; with ``--check`` it only says which are stale, and exits
with 1 when one is.
"""

import argparse
import ast
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from host import benchmarks
from host.cli import app
from host.cost import RETIRE, result_latency
from hw import config, isa, uart_frame
from hw.accumulator import Accumulators
from hw.array import Array
from hw.config import LIMITS, NAMED, Config
from hw.feeder import Feeder
from hw.requant import Requant
from hw.results import Results
from hw.scratchpad import Scratchpad
from hw.sequencer import Sequencer
from hw.uart_line import DIVISORS
from hw.weights import WeightMemory

ROOT = Path(__file__).parents[1]

BEGIN = "<!-- begin {} -->"
END = "<!-- end {} -->"


def pages(root: Path = ROOT) -> list[Path]:
    """The Markdown files of the project."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def refreshed(text: str) -> str:
    """A page with all its tables made anew. ValueError for a table that nobody makes, or no end."""
    pattern = re.compile(r"<!-- begin (\S+) -->\n(.*?)<!-- end (\S+) -->", re.DOTALL)

    def replace(found: re.Match[str]) -> str:
        name, _, end = found.groups()
        if name not in TABLES or end != name:
            raise ValueError(f"table {name!r} ends as {end!r}; there are {', '.join(TABLES)}")
        return f"{BEGIN.format(name)}\n{TABLES[name]()}\n{END.format(name)}"

    return pattern.sub(replace, text)


def stale(root: Path = ROOT) -> dict[Path, str]:
    """Pages that are not as they should be, and their text as it should be."""
    wanted = {page: refreshed(page.read_text()) for page in pages(root)}
    return {page: text for page, text in wanted.items() if text != page.read_text()}


def table(head: Iterable[str], rows: Iterable[Iterable[object]], right: str = "") -> str:
    """A Markdown table; column ``i`` is aligned right where ``right[i]`` is ``r``."""
    names = list(head)
    rules = ["---:" if right[i : i + 1] == "r" else "---" for i in range(len(names))]
    body = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rules, *body])


def described(module: ModuleType, owner: str | None = None) -> dict[str, str]:
    """What the string behind each assignment says, of a module or of one of its classes."""
    body: list[ast.stmt] = ast.parse(inspect.getsource(module)).body
    if owner:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == owner)
    found = {}
    for statement, after in pairwise(body):
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        else:
            continue
        if not isinstance(target, ast.Name) or not isinstance(after, ast.Expr):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[target.id] = " ".join(after.value.value.replace("``", "`").split())
    return found


def _opcodes(kind: type[isa.Packet] | type[isa.Reply]) -> str:
    texts = described(isa, kind.__name__)
    rows = ((f"`{p.value:#04x}`", f"`{p.name}`", texts[p.name]) for p in kind)
    return table(("opcode", "name", "meaning"), rows)


def _causes() -> str:
    texts = described(isa, "Cause")
    rows = ((c.value, f"`{c.name}`", texts[c.name]) for c in isa.Cause)
    return table(("cause", "name", "meaning"), rows, "r")


def _header() -> str:
    rows = (
        (f"{field.offset + field.width - 1}:{field.offset}", f"`{name}`")
        for name, field in isa.HEADER
    )
    return table(("bits", "field"), rows)


def _run_words() -> str:
    return _numbered("word", isa.RUN_WORDS, "RUN_WORDS")


def _counters() -> str:
    return _numbered("word", isa.COUNTERS, "COUNTERS")


def _numbered(what: str, names: tuple[str, ...], of: str) -> str:
    rows = ((i, f"`{name}`") for i, name in enumerate(names))
    return f"{table((what, 'name'), rows, 'r')}\n\n{described(isa)[of]}"


def _spaces() -> str:
    head = ("space", "memory", "words of a row", *(f"rows, `{name}`" for name in NAMED))
    words = {
        isa.Space.WEIGHTS: "weight_ports * ceil(cols / 4)",
        isa.Space.TABLE: f"{isa.TABLE_WORDS} * requantizers",
    }
    rows = []
    for space in isa.Space:
        size = words.get(space, f"{isa.row_words(Config(), space)}")
        depths = (f"{isa.rows(cfg, space):,}" for cfg in NAMED.values())
        rows.append((space.value, f"`{space.name}`", size, *depths))
    return table(head, rows, "r  rrr")


def _instructions() -> str:
    texts = described(isa, "Op")
    rows = ((op.value, f"`{op.name}`", isa.length(op), texts[op.name]) for op in isa.Op)
    return table(("opcode", "name", "words", "meaning"), rows, "r r")


def _layer() -> str:
    rows = []
    for field in isa.LAYER:
        high = field.offset + field.width - 1
        bits = f"{high}:{field.offset}" if field.width > 1 else f"{high}"
        signed = "signed" if field.name.startswith(isa.SIGNED) else ""
        rows.append((field.word, bits, f"`{field.name}`", signed, field.text))
    return table(("word", "bits", "field", "", "meaning"), rows, "rr")


def _table_entry() -> str:
    rows = []
    for name, field in isa.table_entry(Config()):
        word, low = divmod(field.offset, 32)
        high = low + field.width - 1
        rows.append((word, f"{high}:{low}" if field.width > 1 else high, f"`{name}`"))
    return table(("word", "bits", "field"), rows, "rr")


def _fields() -> str:
    texts = described(config, "Config")
    rows = [
        (f"`{name}`", f"{low:,}", f"{high:,}",
         *(f"{getattr(c, name):,}" for c in NAMED.values()), texts[name])
        for name, (low, high) in LIMITS.items()
    ]  # fmt: skip
    head = ("field", "least", "most", *(f"`{name}`" for name in NAMED), "meaning")
    return table(head, rows, " rrrrr")


def _derived() -> str:
    names = [
        name
        for name, value in vars(Config).items()
        if isinstance(value, property) and value.__doc__
    ]
    rows = [
        (f"`{name}`", *(f"{getattr(c, name):,}" for c in NAMED.values()),
         " ".join(str(getattr(Config, name).__doc__).split()))
        for name in names
    ]  # fmt: skip
    return table(("property", *(f"`{name}`" for name in NAMED), "meaning"), rows, " rrr")


def to_written(cfg: Config) -> int:
    """Cycles from that decision to the last byte at the scratchpad, with nothing before it."""
    return result_latency(cfg) + cfg.beats - 1 + RETIRE


def _latencies() -> str:
    stages: list[tuple[str, str, Callable[[Config], int]]] = [
        ("feeder", "decision to address", lambda c: Feeder.LATENCY),
        ("scratchpad", "address to slice", lambda c: Scratchpad.LATENCY),
        ("array", "slice to the sum of column 0", Array.latency),
        ("accumulators", "sum to pooled result, column 0", lambda c: Accumulators.LATENCY),
        ("results", "until a reader meets every column", lambda c: c.cols - c.beats + 1),
        ("results, table", "read", lambda c: Results.LATENCY),
        ("requantizer", "accumulator to int8", lambda c: Requant.LATENCY),
        ("requantizer", "the other columns of the result", lambda c: c.beats - 1),
        ("**all**", "decision to the last byte at the scratchpad", to_written),
        ("weights", "address to the array", lambda c: WeightMemory.LATENCY),
        ("weights", "loading a tile", lambda c: c.load_cycles),
        ("accumulators", "between two vectors for one address", lambda c: Accumulators.HAZARD),
        ("sequencer", "from one instruction to the next", lambda c: Sequencer.FETCH),
    ]
    rows = (
        (part, text, *(f"{cycles(c)}" for c in NAMED.values())) for part, text, cycles in stages
    )
    return table(("part", "cycles of", *(f"`{name}`" for name in NAMED)), rows, "  rrr")


NOT_MEASURED = "Not measured yet: `make bench` makes this table."


def _records() -> list[dict]:
    """The networks that ``make bench`` measured; none where it has not run."""
    return [r for r in benchmarks.results().values() if "model" in r]


def _measurements() -> str:
    rows = []
    for model in dict.fromkeys(r["model"] for r in _records()):
        runs = [r for r in _records() if r["model"] == model]
        first = runs[0]
        accuracy = (f"{first[k]:.2%}" for k in ("float_accuracy", "reference_accuracy", "accuracy"))
        bytes_ = (f"{sum(r[k] for r in runs):,}" for k in ("checked_bytes", "mismatched_bytes"))
        rows.append((model, f"{first['images']:,}", *accuracy, len(runs), *bytes_))
    if not rows:
        return NOT_MEASURED
    head = (
        "model", "images", "accuracy: float", "integers", "hardware", "cores and batches",
        "bytes compared", "different",
    )  # fmt: skip
    return table(head, rows, " rrrrrrr")


def _benchmarks() -> str:
    rows = benchmarks.rows(benchmarks.results())
    return table(benchmarks.HEAD, rows, "  rrrrr") if rows else NOT_MEASURED


def _throughput() -> str:
    rows = benchmarks.throughput_rows(benchmarks.results())
    return table(benchmarks.THROUGHPUT_HEAD, rows, "  rrrrr") if rows else NOT_MEASURED


def _models() -> str:
    rows = []
    for path in sorted((ROOT / "host" / "weights").glob("*.json")):
        r = json.loads(path.read_text())
        accuracy = f"{r['test_accuracy']:.2%}"
        rows.append((r["model"], accuracy, f"{r['test_images']:,}", f"`{r['command']}`"))
    head = ("model", "accuracy, float", "test images", "trained by")
    return table(head, rows, " rr")


def _layer_cycles() -> str:
    rows = [
        (benchmarks.describe(r["fields"]), r["batch"], layer["name"], f"{layer['macs']:,}",
         f"{layer['cycles']:,.0f}", f"{layer['utilization']:.1%}")
        for r in _records() if r["model"] == "lenet-cifar10" and r["config"] == "default"
        for layer in r["layers"] if layer["cycles"] is not None
    ]  # fmt: skip
    head = ("array", "batch", "layer", "MACs", "cycles per image", "utilization")
    return table(head, rows, " r rrr") if rows else NOT_MEASURED


def _commands() -> str:
    rows = (
        (f"`lepton {c.name}`", (inspect.getdoc(c.callback) or "").split("\n")[0])
        for c in app.registered_commands
    )
    return table(("command", "what it does"), rows)


def _uart_header() -> str:
    rows = (
        (f"{f.offset + f.width - 1}:{f.offset}", f"`{name}`", uart_frame.FIELDS[name])
        for name, f in uart_frame.HEADER
    )
    return table(("bits", "field", "meaning"), rows)


def _uart_kinds() -> str:
    texts = described(uart_frame, "Kind")
    rows = ((k.value, f"`{k.name}`", texts[k.name]) for k in uart_frame.Kind)
    return table(("kind", "name", "meaning"), rows, "r")


def _uart_bauds() -> str:
    clocks = (12, 25, 48, 100)
    rows = []
    for baud in (115_200, 500_000, 1_000_000, 2_000_000, 3_000_000):
        cells = []
        for clock in clocks:
            divisor = max(DIVISORS[0], round(clock * 1e6 / baud))
            error = clock * 1e6 / divisor / baud - 1
            cells.append(f"{divisor} ({error:+.1%})" if abs(error) < 0.03 else "-")
        rows.append((f"{baud:,}", *cells))
    return table(("baud", *(f"{c} MHz" for c in clocks)), rows, "rrrrr")


TABLES: dict[str, Callable[[], str]] = {
    "requests": lambda: _opcodes(isa.Packet),
    "replies": lambda: _opcodes(isa.Reply),
    "causes": _causes,
    "header": _header,
    "run-words": _run_words,
    "counters": _counters,
    "spaces": _spaces,
    "instructions": _instructions,
    "layer": _layer,
    "table-entry": _table_entry,
    "config-fields": _fields,
    "config-derived": _derived,
    "latencies": _latencies,
    "measurements": _measurements,
    "benchmarks": _benchmarks,
    "throughput": _throughput,
    "layer-cycles": _layer_cycles,
    "models": _models,
    "commands": _commands,
    "uart-header": _uart_header,
    "uart-kinds": _uart_kinds,
    "uart-bauds": _uart_bauds,
}
"""What makes each table, by the name that stands in the page."""


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks all tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m host.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    check = parser.parse_args(arguments).check
    found = stale()
    outcome = "is stale: run python -m host.docs" if check else "written"
    for page, text in found.items():
        print(f"{page.relative_to(ROOT)} {outcome}")
        if not check:
            page.write_text(text)
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
