"""Builds a simulator of any Verilog for cocotb, kept in the cache."""

import importlib.metadata
import inspect
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from cocotb_tools.runner import Verilator, VerilatorControlFile, Verilog

from sim import build, cache, coverage, toolchain
from sim.convert import converted
from sim.errors import SimulationError

TOP = "lepton"
"""Module and executable; the name that `ports.vlt` keeps visible."""

TOPS = Path(__file__).with_name("tops.py")

PORTS = Path(build.__file__).with_name("ports.vlt")

FLAGS = (*toolchain.VERILATOR_FLAGS, "--no-public-flat-rw")

SOURCE = "lepton.v"

EMPTY = f"module {TOP}(input clk); endmodule\n"

LATER_S = 3600
"""Objects from the cache are so much newer than now: make compiles what is older than the makefile,
which Verilator writes after they are there."""

CONVERT = """
import json, sys
from hw.verilog import convert
from sim.bench import tops
sys.stdout.write(convert(getattr(tops, json.load(sys.stdin))()))
"""


def convert(name: str) -> str:
    """Verilog of what a function of `tops` returns, converted unless the cache has it."""
    return converted(CONVERT, name, TOPS.read_text(), what="Verilog")


def executable(text: str) -> Path:
    """The simulator of some Verilog with a top `lepton`, built unless the cache has it."""
    # It links cocotb's libraries where they are now.
    identity = [importlib.metadata.version("cocotb"), inspect.getfile(Verilator), toolchain.host()]
    covered = coverage.folder() is not None
    flags = (*FLAGS, *coverage.FLAGS) if covered else FLAGS
    recipe = Path(__file__).read_text()
    identity += [toolchain.verilator().version, recipe, *flags, PORTS.read_text()]

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        later = time.time() + LATER_S
        for one in _runtime(flags, identity).glob("*.o"):
            shutil.copy(one, work)
            os.utime(work / one.name, (later, later))
        _make(text, work, flags)
        (work / TOP).rename(folder / TOP)
        if covered:
            (work / SOURCE).rename(folder / coverage.VERILOG)
        shutil.rmtree(work)

    return cache.cached("bench", cache.digest(text, *identity), make) / TOP


def _runtime(flags: Sequence[str], identity: Sequence[str]) -> Path:
    """The folder of the objects that are the same in every simulator: most of a build's work."""

    def make(folder: Path) -> None:
        work = folder / "work"
        work.mkdir()
        _make(EMPTY, work, flags)
        # Not cocotb's `verilator.o`: its main makes the core, and so depends on how large it is.
        for one in work.glob("verilated*.o"):
            one.rename(folder / one.name)
        shutil.rmtree(work)

    return cache.cached("bench-runtime", cache.digest(EMPTY, *identity), make)


def _make(text: str, work: Path, flags: Sequence[str]) -> None:
    """Has cocotb build a simulator in a folder."""
    source, log = work / SOURCE, work / "build.log"
    source.write_text(text)
    with patch.dict(os.environ, toolchain.make_environment()):
        try:
            Verilator().build(
                sources=[VerilatorControlFile(PORTS), Verilog(source)],
                hdl_toplevel=TOP,
                build_args=flags,
                build_dir=work,
                log_file=log,
            )
        except (SystemExit, RuntimeError, subprocess.CalledProcessError) as error:
            output = log.read_text().splitlines() if log.exists() else []
            telling = ("%Warning", "%Error", "error:")
            said = [line for line in output if any(word in line for word in telling)]
            raise SimulationError(f"cocotb's build failed: {(said or [error])[0]}") from error
