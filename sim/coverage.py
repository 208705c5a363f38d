"""Coverage of simulated cores: built in while LEPTON_COVERAGE names a folder, and added up there.

A subfolder for each design holds its Verilog and, for each process that simulated it, what
Verilator counted in all of its simulations.
"""

import ctypes
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

VARIABLE = "LEPTON_COVERAGE"

FLAGS = ("--coverage-line", "--coverage-toggle", "--coverage-max-width", "1024")

"""Wide enough for an instruction, which is one register; most memories are wider."""

VERILOG = "lepton.v"


def folder() -> Path | None:
    """Where coverage goes; None when nobody wants it."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else None


def collect(library: Any, core: int, design: Path) -> None:
    """Takes what a core has counted, before it is destroyed, if anybody wants it."""
    if folder() is None:
        return
    handle, name = tempfile.mkstemp(prefix="lepton-", suffix=".dat")
    os.close(handle)
    library.lepton_coverage.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    library.lepton_coverage(core, name.encode())
    add(Path(name), design)


def add(found: Path, design: Path) -> None:
    """Moves what a simulation counted to what this process counted of the same design before.

    `design` is the folder of its library or executable.
    """
    chosen = folder()
    assert chosen is not None
    place = chosen / design.name
    place.mkdir(parents=True, exist_ok=True)
    if not (place / VERILOG).exists():
        shutil.copy(design / VERILOG, place / VERILOG)
    total = place / f"{os.getpid()}.dat"
    counts = read(found)
    for point, count in (read(total) if total.exists() else {}).items():
        counts[point] = counts.get(point, 0) + count
    total.write_text("".join(f"C '{point}' {count}\n" for point, count in counts.items()))
    found.unlink()


def read(path: Path) -> dict[str, int]:
    """Points of a file of Verilator's, and how often each was reached."""
    counts: dict[str, int] = {}
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("C '"):
            point, _, count = line[3:].rpartition("' ")
            counts[point] = counts.get(point, 0) + int(count)
    return counts
