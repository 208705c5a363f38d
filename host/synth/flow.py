"""Yosys, nextpnr, packer: each step kept in the cache by what goes into it."""

import importlib
import json
import os
import re
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from host.synth import netlist
from host.synth.devices import Device
from host.synth.tools import SynthesisError, run, tool
from host.synth.wrapper import FewPins
from hw.array import Array
from hw.config import Config
from hw.core import Core
from hw.requant import Requant
from sim.cache import cached, digest

Tell = Callable[[str], None]

TOP = "lepton"


class Scope(StrEnum):
    """What is built."""

    CORE = "core"
    ARRAY = "array"
    REQUANT = "requant"


PARTS = {Scope.CORE: Core, Scope.ARRAY: Array, Scope.REQUANT: Requant}

READ = (
    "read_rtlil design.il",
    # Nothing depends on what a read gives while its own place is written (hw/, every memory), and
    # keeping the old value costs each block RAM a copy of its write port in flip-flops.
    "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:TRANSPARENCY_MASK=1'0 %i",
)
"""How Yosys reads what `rtlil` writes."""


def rtlil(
    cfg: Config, device: Device | None, scope: Scope = Scope.CORE, *, pins: bool = True
) -> str:
    """The design for Yosys; without a device in generic form.

    Amaranth names an element of an array ``x[3]``, which ABC9 takes for bit 3 of ``x``: it then
    stops with a failed assertion. It becomes ``x.3``.
    """
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    backend = importlib.import_module("amaranth.back.rtlil")
    part = PARTS[scope](cfg)
    platform = device.target if device is not None else None
    text = backend.convert(
        FewPins(part) if pins else part, name=TOP, platform=platform, emit_src=False
    )
    return re.sub(r"\\\S*\[\S*", lambda name: name[0].replace("[", ".").replace("]", ""), text)


@dataclass(frozen=True)
class Synthesis:
    """A configuration on a device, as Yosys made it."""

    config: Config
    device: Device
    scope: Scope
    folder: Path

    @cached_property
    def cells(self) -> dict[str, dict]:
        """The netlist's cells by name."""
        text = (self.folder / "netlist.json").read_text()
        cells = json.loads(text)["modules"][TOP]["cells"]
        return {name: cell for name, cell in cells.items() if not cell["type"].startswith("$")}

    @cached_property
    def usage(self) -> netlist.Usage:
        """What it takes; on iCE40 `luts` are logic cells."""
        found = netlist.usage(self.cells)
        if self.device.family != "ice40":
            return found
        return netlist.Usage(**{**found.record(), "luts": netlist.logic_cells(self.cells)})

    @cached_property
    def blocks(self) -> dict[str, netlist.Usage]:
        """What each block of the core takes."""
        return netlist.blocks(self.cells)

    def misfits(self) -> list[str]:
        """For each resource of which there is too little, a phrase with both numbers."""
        needed = self.usage.record()
        return [
            f"{needed[name]:,} {name} of {there:,}"
            for name, there in self.device.available.items()
            if needed[name] > there
        ]

    def check_fits(self) -> None:
        """Refuses what does not fit, with each resource needed and available."""
        misfits = self.misfits()
        if misfits:
            raise SynthesisError(
                f"this does not fit {self.device.name}: needs {', '.join(misfits)}"
            )

    def place(
        self,
        seeds: int,
        *,
        megahertz: float | None = None,
        tell: Tell = print,
        constraints: str = "",
    ) -> "Placement":
        """Places and routes with seeds 1 to `seeds`, as many at once as there are processors."""
        self.check_fits()
        asked = megahertz or self.device.megahertz
        processors = len(os.sched_getaffinity(0))

        def one(seed: int) -> Path:
            return _placed(self.folder, self.device, seed, asked, tell, constraints)

        with ThreadPoolExecutor(min(processors, seeds)) as pool:
            folders = list(pool.map(one, range(1, seeds + 1)))
        reports = [json.loads((folder / "report.json").read_text()) for folder in folders]
        return Placement(self, tuple(folders), tuple(reports))


@dataclass(frozen=True)
class Placement:
    """A synthesis, placed and routed once for each seed."""

    synthesis: Synthesis
    folders: tuple[Path, ...]
    reports: tuple[dict, ...]

    @cached_property
    def frequencies(self) -> list[float]:
        """MHz, by seed from 1."""
        return [round(netlist.frequency(report), 2) for report in self.reports]

    @property
    def median(self) -> float:
        """MHz."""
        return round(statistics.median(self.frequencies), 2)

    @property
    def best(self) -> int:
        """Index of the fastest seed."""
        return max(range(len(self.frequencies)), key=self.frequencies.__getitem__)

    @property
    def critical_path(self) -> netlist.CriticalPath:
        """Of the seed that is the median, or just below it."""
        order = sorted(range(len(self.frequencies)), key=self.frequencies.__getitem__)
        return netlist.critical_path(self.reports[order[(len(order) - 1) // 2]])

    @property
    def bitstream(self) -> Path:
        """Of the fastest seed."""
        return next(self.folders[self.best].glob("lepton.bi[nt]"))

    def check_speed(self, megahertz: float) -> None:
        """Refuses a build whose fastest seed is slower than that, with its critical path."""
        best = self.frequencies[self.best]
        if best < megahertz:
            path = netlist.critical_path(self.reports[self.best])
            raise SynthesisError(
                f"{self.synthesis.device.name} reaches {best} MHz, not {megahertz:g}; "
                f"the critical path goes {path.sentence()}"
            )


def synthesize(
    cfg: Config, device: Device, scope: Scope = Scope.CORE, *, tell: Tell = print
) -> Synthesis:
    """Runs Yosys, unless the cache has its result for this design."""
    return Synthesis(cfg, device, scope, netlist_of(rtlil(cfg, device, scope), device, tell=tell))


def netlist_of(design: str, device: Device, *, tell: Tell = print) -> Path:
    """The folder with `netlist.json` of a design in RTLIL."""
    script = "; ".join(
        (
            *READ,
            f"{device.synthesis} -top {TOP} -json netlist.json",
            "write_verilog -noattr -noexpr netlist.v",
        )
    )

    def make(folder: Path) -> None:
        tell(f"running Yosys for {device.name}")
        (folder / "design.il").write_text(design)
        run("yosys", ["-q", "-l", "yosys.log", "-p", script], folder, "yosys.log")

    key = digest(design, script, tool("yosys").version)
    return cached("netlist", key, make)


def _placed(
    netlist_folder: Path, device: Device, seed: int, megahertz: float, tell: Tell, constraints: str
) -> Path:
    name, packer = f"nextpnr-{device.family}", PACK[device.family]
    options = [*device.place, "--freq", f"{megahertz:g}", "--seed", str(seed)]
    options += ["--report", "report.json", "--log", "nextpnr.log", "-q", "--timing-allow-fail"]
    options += ["--json", "netlist.json"]
    if device.family == "ice40":
        options += ["--asc", "lepton.asc"]
        if constraints:
            options += ["--pcf", "pins"]
    else:
        options += ["--textcfg", "lepton.config"]
        options += ["--lpf", "pins"] if constraints else ["--lpf-allow-unconstrained"]
    source = (netlist_folder / "netlist.json").read_bytes()

    def make(folder: Path) -> None:
        tell(f"placing and routing for {device.name}, seed {seed}")
        (folder / "netlist.json").write_bytes(source)
        if constraints:
            (folder / "pins").write_text(constraints)
        run(name, options, folder, "nextpnr.log")
        run(packer[0], list(packer[1:]), folder, "pack.log")
        (folder / "netlist.json").unlink()

    key = digest(source, " ".join(options), constraints, tool(name).version)
    return cached("placed", key, make)


PACK: dict[str, Sequence[str]] = {
    "ice40": ("icepack", "lepton.asc", "lepton.bin"),
    "ecp5": ("ecppack", "--compress", "lepton.config", "lepton.bit"),
}
