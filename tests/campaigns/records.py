"""Results of campaigns: files in benchmarks/ that docs/verification.md is made from."""

import json
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "benchmarks"


def write(name: str, command: str, found: dict[str, Any]) -> Path:
    """Writes ``benchmarks/NAME.json``, with the command that makes it again and the day."""
    path = FOLDER / f"{name}.json"
    record = {"command": command, "date": time.strftime("%Y-%m-%d"), **found}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def read(name: str) -> dict[str, Any]:
    """What was written last; nothing when there is none."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}
