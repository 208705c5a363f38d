"""Tables of what was proven, covered and seeded: formal.json, coverage.json, mutants.json."""

import json
from collections.abc import Callable
from typing import Any

from host.docs.markdown import ROOT, table

NOT_RUN = "Not run yet: `make {}` makes this table."


def _record(name: str) -> dict[str, Any] | None:
    path = ROOT / "benchmarks" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _formal() -> str:
    found = _record("formal")
    if found is None:
        return NOT_RUN.format("formal")
    rows = [
        (
            task["name"], task["claim"], task["horizon"],
            f"{task['seconds']:.0f} s" if task["seconds"] else "not proven",
            f"{task['bug_seconds']:.0f} s" if task["bug_seconds"] else "missed",
        )
        for task in found["tasks"]
    ]  # fmt: skip
    head = ("proof", "what holds", "for how long", "proven in", "bug found in")
    rest = found["proofs"] - len(found["tasks"])
    missing = f"; {rest} of {found['proofs']} proofs are not in this record yet" if rest else ""
    return f"{table(head, rows, '   rr')}\n\n`{found['command']}`, {found['date']}{missing}."


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}, {part / max(1, whole):.1%}"


def _coverage() -> str:
    found = _record("coverage")
    if found is None:
        return NOT_RUN.format("coverage")
    parts = found["components"]
    rows = []
    for name, part in (*parts.items(), ("**all**", _sum(parts.values()))):
        lines = _share(part["lines_reached"], part["lines"])
        toggles = _share(part["toggles_reached"], part["toggles"])
        rows.append((name, lines, toggles))
    text = table(("component", "branches", "bits that rose and fell"), rows, " rr")
    tests = ", ".join(f"`{one}`" for one in found["tests"])
    return f"{text}\n\n`{found['command']}`, {found['date']}, of {tests}."


def _sum(parts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return total


def _missed() -> str:
    found = _record("coverage")
    if found is None:
        return NOT_RUN.format("coverage")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in found["missed"]:
        key = one["component"], one["kind"], one["reason"] or "**no reason yet**"
        groups.setdefault(key, []).append(one["point"])
    rows = []
    for (component, kind, reason), points in sorted(groups.items()):
        said = ", ".join(f"`{_cell(point)}`" for point in points[:12])
        more = f" and {len(points) - 12} more" if len(points) > 12 else ""
        rows.append((component, kind, said + more, reason))
    return table(("component", "kind", "not reached", "why"), rows)


def _cell(text: str) -> str:
    text = text if len(text) <= 90 else text[:87] + "..."
    return text.replace("|", "\\|").replace("`", "'")


def _functional() -> str:
    found = _record("coverage")
    if found is None:
        return NOT_RUN.format("coverage")
    said = []
    for name, cells in found["functional"].items():
        columns = list(next(iter(cells.values())))
        rows = [
            (row, *(_count(cell, found["impossible"], name, row, column)
                    for column, cell in counts.items()))
            for row, counts in cells.items()
        ]  # fmt: skip
        said.append(f"**{name}**\n\n{table((name, *columns), rows, ' ' + 'r' * len(columns))}")
    reasons = sorted({one["reason"] for one in found["impossible"]})
    notes = "\n".join(f"- {reason}" for reason in reasons)
    return "\n\n".join(said) + f"\n\n-: cannot happen:\n\n{notes}"


def _count(count: int, impossible: list[dict], table_: str, row: str, column: str) -> str:
    mine = {"table": table_, "row": row, "column": column}
    if not count and any(mine.items() <= one.items() for one in impossible):
        return "-"
    return f"{count:,}" if count else "**0**"


def _mutants() -> str:
    found = _record("mutants")
    if found is None:
        return NOT_RUN.format("mutants")
    total, caught = found["mutants"], sum(found["caught"].values())
    real = total - found["argued"]
    rows = [(test, f"{number:,}") for test, number in found["caught"].items()]
    return (
        f"{_share(caught, total)} are caught; without the {found['argued']} survivors of which it "
        f"is argued below why no test can notice them, {_share(caught, real)}. Which part of the "
        f"tests was the first to notice:\n\n{table(('test', 'mutants'), rows, ' r')}\n\n"
        f"`{found['command']}`, {found['date']}{_left(found['left'])}."
    )


def _left(number: int) -> str:
    return f"; {number} of its mutants have not been judged yet" if number else ""


def _survivors() -> str:
    found = _record("mutants")
    if found is None:
        return NOT_RUN.format("mutants")
    rows = [
        (one["number"], f"`{_cell(one['where'])}`", one["equivalent"] or "**open**")
        for one in found["survivors"]
    ]
    return table(("number", "where and what", "why no test can notice it"), rows, "r  ")


TABLES: dict[str, Callable[[], str]] = {
    "formal": _formal,
    "coverage": _coverage,
    "coverage-missed": _missed,
    "coverage-functional": _functional,
    "mutants": _mutants,
    "mutants-survivors": _survivors,
}
"""Tables by their names."""
