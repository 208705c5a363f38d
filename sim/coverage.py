"""Coverage of simulated cores: built in while LEPTON_COVERAGE names a folder, and added up there.

A subfolder for each design holds its Verilog and, for each process that simulated it, what
Verilator counted in all of its simulations.
"""

import ctypes
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

VARIABLE = "LEPTON_COVERAGE"

FLAGS = ("--coverage-line", "--coverage-toggle", "--coverage-max-width", "1024")
"""Wide enough for an instruction, which is one register; most memories are wider."""

VERILOG = "lepton.v"

COUNT = re.compile(rb"^C '.*' (\d+)$", re.MULTILINE)
"""Verilator's line for a point."""


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
    """Adds what a simulation counted to what this process counted of the same design before.

    `design` is the folder of its library or executable.
    """
    chosen = folder()
    assert chosen is not None
    place = chosen / design.name
    place.mkdir(parents=True, exist_ok=True)
    if not (place / VERILOG).exists():
        shutil.copy(design / VERILOG, place / VERILOG)
    counts = np.array(COUNT.findall(found.read_bytes()), np.int64)
    # Points of a design are always the same, in the same order: their names are kept once.
    kept = place / f"{os.getpid()}.dat"
    if kept.exists():
        counts += np.load(_totals(kept))
        found.unlink()
    else:
        shutil.move(found, kept)
    np.save(_totals(kept), counts)


def read(path: Path) -> dict[str, int]:
    """Points of a design, and how often each was reached in all simulations of a process."""
    lines = path.read_text(errors="replace").splitlines()
    names = (line[3:].rpartition("' ")[0] for line in lines if line.startswith("C '"))
    return dict(zip(names, np.load(_totals(path)).tolist(), strict=True))


def _totals(kept: Path) -> Path:
    return kept.with_suffix(".npy")
