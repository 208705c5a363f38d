"""The answer as files: a page that needs no network, a picture, CSV and JSON."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from host.explore.charts import picture, shown
from host.explore.page import page
from host.explore.run import Answer
from host.program import write_whole

VERSION = 1
"""Of the JSON."""
PAGE, PICTURE, TABLE, RESULT = "report.html", "report.png", "points.csv", "result.json"


def record(answer: Answer) -> dict[str, Any]:
    """Everything as plain values."""
    asked, best = answer.question, answer.recommendation
    return {
        "version": VERSION,
        "variants": {name: asked.accuracies.get(name) for name in asked.graphs},
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
