"""``make coverage``: what the tests that simulate the whole core reach of it, as pages of docs/.

Line and toggle coverage are Verilator's, of all simulations of all designs, added up: a line is a
branch of the Verilog, a toggle is a bit of a signal that rose and fell. Components that are there
several times (rows, lanes) and in several configurations count once, by the names of their modules
and signals. Functional coverage is in `functional`.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sim import coverage
from tests.campaigns import functional, records
from tests.campaigns.uncovered import reason

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "coverage"

TESTS = (
    "tests/campaigns/test_hand_programs.py", "tests/e2e/test_packets.py",
    "tests/e2e/test_instructions.py", "tests/e2e/test_stalled_networks.py",
    "tests/e2e/test_networks.py", "tests/sim/test_bench_core.py", "tests/sim/test_bench_stalls.py",
    "tests/e2e/test_uart.py", "tests/e2e/test_cost.py",
)  # fmt: skip
"""Those that simulate the whole core with Verilator, but for what breaks the host under it."""

RUN = "tests.txt"
"""In the folder: the arguments with which tests were run, a line each time."""

IGNORED = re.compile(r"\$|^(clk|rst)$")
"""Signals that Yosys made, not the gateware."""

EMPTY = "if: if ($ ) begin end"
"""What Yosys writes into every process, and no simulation enters."""


@dataclass
class Component:
    """Points of one component, and whether they were reached."""

    lines: dict[str, bool] = field(default_factory=dict)
    toggles: dict[tuple[str, int], bool] = field(default_factory=dict)


def component(module: str) -> str:
    """The component of a module: ``lepton.runner.lanes.lane_0.array.row_2`` is ``array.row``.

    A core behind a wrapper is ``lepton``, as one without.
    """
    names = [re.sub(r"(_\d+)+$", "", part.partition("$")[0]) for part in module.split(".")]
    kept = [name for name in names if name not in ("lepton", "runner", "lanes", "lane", "core")]
    return ".".join(kept[-2:]) or ("lepton" if names[-1] == "core" else names[-1])


@lru_cache
def _text(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _line_name(source: list[str], point: dict[str, str]) -> str:
    """What a branch does, without the numbers that Yosys gives its wires."""
    lines: list[int] = []
    for part in filter(None, point.get("S", "").split(",")):
        first, _, last = part.partition("-")
        lines += range(int(first), int(last or first) + 1)
    lines = lines or [int(point["l"])]
    said = " ".join(source[n - 1].strip() for n in lines if n <= len(source))
    said = re.sub(r"\s+", " ", re.sub(r"\\?\$[\w$.:\\]+", "$", said))
    return f"{point.get('o', '')}: {said}"


def points(place: Path) -> Iterator[tuple[dict[str, str], int]]:
    """Points of one design, and how often each was reached by all processes."""
    counts: dict[str, int] = defaultdict(int)
    for path in place.glob("*.dat"):
        for point, count in coverage.read(path).items():
            counts[point] += count
    for point, count in counts.items():
        parts = (part.partition("\x02") for part in point.split("\x01") if part)
        yield {name: value for name, _, value in parts}, count


def components(folder: Path) -> dict[str, Component]:
    """Coverage of all designs."""
    found: dict[str, Component] = defaultdict(Component)
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        source = _text(place / coverage.VERILOG)
        ordinals: dict[tuple[str, str], int] = defaultdict(int)
        edges: dict[tuple[str, str, int], set[str]] = defaultdict(set)
        for point, count in sorted(points(place), key=lambda p: (int(p[0]["l"]), int(p[0]["n"]))):
            kind, _, module = point["page"].partition("/")
            if module in ("simulation", "TOP", "top"):
                continue
            name = component(module)
            if kind == "v_toggle":
                # Words of memories end with an index, fields of a view with an encoded one.
                toggled = re.fullmatch(r"(.+?)(?:\[(\d+)\])?(?::(\d->\d))?", point["o"])
                assert toggled
                signal = re.sub(r"__0([0-9A-Fa-f]{2})", lambda c: chr(int(c[1], 16)), toggled[1])
                bit, edge = int(toggled[2] or 0), toggled[3] or "any"
                if not IGNORED.search(signal) and not toggled[1].endswith("]"):
                    place_of = edges[module, signal, bit]
                    # Both edges are points of their own; a bit counts when it has had both.
                    place_of.add(edge if count else f"not {edge}")
            else:
                said = _line_name(source, point)
                if said == EMPTY:
                    continue
                ordinals[module, said] += 1
                key = f"{said} ({ordinals[module, said]})"
                lines = found[name].lines
                lines[key] = lines.get(key, False) or count > 0
        for (module, signal, bit), seen in edges.items():
            toggles = found[component(module)].toggles
            both = not any(edge.startswith("not") for edge in seen)
            toggles[signal, bit] = toggles.get((signal, bit), False) or both
    for part in found.values():
        # A signal with fields counts by its fields.
        names = {signal for signal, _ in part.toggles}
        fields = {n for n in names if any(other.startswith((f"{n}.", f"{n}[")) for other in names)}
        part.toggles = {p: r for p, r in part.toggles.items() if p[0] not in fields}
    return dict(found)


def grouped(bits: Iterable[tuple[str, int]]) -> list[str]:
    """Signals with their bits: ``name[7:3]``."""
    signals: dict[str, list[int]] = defaultdict(list)
    for signal, bit in sorted(bits):
        signals[signal].append(bit)
    said = []
    for signal, numbers in signals.items():
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][-1] + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        said += [f"{signal}[{f'{run[-1]}:' if len(run) > 1 else ''}{run[0]}]" for run in runs]
    return said


def summary(folder: Path) -> dict[str, Any]:
    """What is written to benchmarks/coverage.json."""
    rows, open_points = {}, []
    for name, found in sorted(components(folder).items()):
        missed_lines = [line for line, reached in found.lines.items() if not reached]
        missed = [bit for bit, reached in found.toggles.items() if not reached]
        rows[name] = {
            "lines": len(found.lines), "lines_reached": len(found.lines) - len(missed_lines),
            "toggles": len(found.toggles), "toggles_reached": len(found.toggles) - len(missed),
        }  # fmt: skip
        for kind, said in (("line", missed_lines), ("toggle", grouped(missed))):
            open_points += [
                {"component": name, "kind": kind, "point": one, "reason": reason(name, kind, one)}
                for one in said
            ]
    tables = functional.joined(folder)
    impossible = [
        {"table": table, "row": row, "column": column, "reason": why}
        for table, rows_ in tables.items()
        for row, cells in rows_.items()
        for column in cells
        if (why := functional.impossible(table, row, column))
    ]
    return {
        "components": rows, "missed": open_points, "functional": tables, "impossible": impossible,
    }  # fmt: skip


def run(arguments: list[str]) -> int:
    """Runs the tests; exit code of pytest."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, coverage.VARIABLE: str(FOLDER)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    with (FOLDER / RUN).open("a") as file:
        file.write(" ".join(arguments) + "\n")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.coverage", description=__doc__)
    parser.add_argument("--report", action="store_true", help="of what has been run before")
    parser.add_argument("tests", nargs="*", help="to be run besides what has been run before")
    given, rest = parser.parse_known_args()
    code = 0
    if not given.report:
        code = run([*(given.tests or TESTS), *rest])
    found = summary(FOLDER)
    ran = FOLDER / RUN
    found["tests"] = ran.read_text().splitlines() if ran.exists() else []
    path = records.write("coverage", "make coverage", found)
    for kind in ("lines", "toggles"):
        total = sum(row[kind] for row in found["components"].values())
        reached = sum(row[f"{kind}_reached"] for row in found["components"].values())
        print(f"{kind}: {reached} of {total} ({reached / max(1, total):.1%})")
    bare = [one for one in found["missed"] if not one["reason"]]
    print(f"{len(bare)} of {len(found['missed'])} that were missed have no reason; see {path}")
    return code


if __name__ == "__main__":
    sys.exit(main())
