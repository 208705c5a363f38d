"""Results of campaigns: files in benchmarks/ that docs/verification.md is made from."""

import json
import time
from pathlib import Path
from typing import Any

from host.program import write_whole
from sim import build

ROOT = Path(__file__).parents[2]

FOLDER = ROOT / "benchmarks"


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


class Checkpoint:
    """How far a campaign has come, so that one that was interrupted goes on from there.

    Only for the same arguments and the same gateware: else it begins again.
    """

    def __init__(self, name: str, *arguments: object) -> None:
        self.path = ROOT / "build" / f"{name}.checkpoint.json"
        self.key = [build.hardware_hash(), *map(str, arguments)]

    def load(self) -> dict[str, Any]:
        """What was saved last; nothing where there is nothing that fits."""
        try:
            saved = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return saved["state"] if saved["key"] == self.key else {}

    def save(self, state: dict[str, Any]) -> None:
        self.path.parent.mkdir(exist_ok=True)
        write_whole(self.path, json.dumps({"key": self.key, "state": state}).encode())

    def remove(self) -> None:
        """The campaign is over."""
        self.path.unlink(missing_ok=True)
