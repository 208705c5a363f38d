"""Yosys, nextpnr, packer: each step kept in the cache by what goes into it."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from host.synth import (
    block_ram_sites,
    multiplier_sites,
    near_constants,
    netlist,
    output_registers,
)
from host.synth.devices import Device
from host.synth.placement import Placement
from host.synth.tools import SynthesisError, Unfinished, run, tool
from hw.config import Config
from hw.rtlil import TOP, Scope
from sim.cache import cached, digest
from sim.convert import converted

Tell = Callable[[str], None]

SEED_MINUTES = 60
"""Of one seed. Those of the named configurations take ten at most; of others the router may not
end."""

UNROUTED = "unrouted"
"""File of a seed that was given up, with the minutes that it had."""

EMIT = """
import json, sys
from hw.config import Config
from hw.rtlil import emit
choice = json.load(sys.stdin)
sys.stdout.write(emit(Config(**choice.pop("config")), **choice))
"""

READ = (
    "read_rtlil design.il",
    # Nothing depends on what a read gives while its own place is written (hw/, every memory), and
    # keeping the old value costs each block RAM a copy of its write port in flip-flops.
    "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:TRANSPARENCY_MASK=1'0 %i",
)
"""How Yosys reads the design."""

WHOLE = (f"hierarchy -top {TOP}", "proc", "opt_expr", "opt_clean")
"""What Yosys does with it before its memories are mapped."""

WRITE = "write_json netlist.json"

FINISH = "".join(
    Path(__file__).with_name(f"{name}.py").read_text()
    for name in ("output_registers", "block_ram_sites", "multiplier_sites", "near_constants")
)
"""What is done to a netlist of an ECP5 before it is placed."""

TO_VERILOG = (
    # A wire for each bit: bits of one vector that depend on each other are no loop.
    "splitnets",
    "opt_clean -purge",
    "write_verilog -noattr -noexpr netlist.v",
)


def rtlil(
    cfg: Config, device: Device, scope: Scope = Scope.CORE, *, pins: bool = True, tell: Tell = print
) -> str:
    """The design for Yosys, converted unless the cache has it for the hw/ of now."""
    choice = {"config": asdict(cfg), "scope": str(scope), "part": device.part, "pins": pins}
    return converted(EMIT, choice, what="RTLIL", progress=tell)


@dataclass(frozen=True)
class Synthesis:
    """A design on a device, as Yosys made it."""

    device: Device
    folder: Path
    """With `netlist.json` and `netlist.v`."""

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

    @cached_property
    def hierarchy(self) -> list[netlist.Block]:
        """The same, each block behind the one that it is in."""
        return netlist.hierarchy(self.cells)

    def misfits(self) -> dict[str, tuple[int, int]]:
        """Of each resource of which there is too little: how many are needed, and are there."""
        needed = self.usage.record()
        there = self.device.available
        return {name: (needed[name], there[name]) for name in there if needed[name] > there[name]}

    def check_fits(self) -> None:
        """Refuses what does not fit, with each resource needed and available."""
        misfits = self.misfits()
        if misfits:
            phrases = (f"{need:,} {name} of {there:,}" for name, (need, there) in misfits.items())
            raise SynthesisError(
                f"this does not fit {self.device.name}: it needs {', '.join(phrases)}"
            )

    def place(
        self,
        seeds: int,
        *,
        first: int = 1,
        megahertz: float | None = None,
        constraints: str = "",
        minutes: float | None = None,
        tell: Tell = print,
    ) -> Placement:
        """Places and routes with so many seeds from `first` on, as many at once as there are
        processors.

        `constraints` name the pins, in the language of the family; without them any will do. A seed
        that takes more `minutes`, if none are given `SEED_MINUTES`, is given up; Unfinished when
        all are. When it is interrupted, or a seed fails, the tools that run are ended.
        """
        self.check_fits()
        tool(f"nextpnr-{self.device.family}")
        asked = megahertz or self.device.megahertz
        limit = minutes or SEED_MINUTES
        stop = threading.Event()
        numbers = range(first, first + seeds)

        def one(seed: int) -> Path:
            return _placed(self, seed, asked, constraints, stop, limit)

        routed: dict[int, Path] = {}
        with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), seeds)) as pool:
            tell(f"placing and routing for {self.device.name} at {asked:g} MHz")
            try:
                jobs = {pool.submit(one, seed): seed for seed in numbers}
                for count, done in enumerate(as_completed(jobs), 1):
                    seed = jobs[done]
                    try:
                        routed[seed] = done.result()
                        found = f"{Placement(self.device, (routed[seed],)).median:.1f} MHz"
                    except Unfinished:
                        found = f"not routed in {limit:g} minutes, given up"
                    tell(f"seed {seed}: {found} ({count} of {seeds})")
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not routed:
            raise Unfinished(
                f"no seed from {first} to {numbers[-1]} was routed in {limit:g} minutes; try later "
                "seeds, more time, or a smaller core"
            )
        return Placement(
            self.device,
            tuple(routed[seed] for seed in numbers if seed in routed),
            tuple(seed for seed in numbers if seed not in routed),
        )


def synthesize(
    cfg: Config,
    device: Device,
    scope: Scope = Scope.CORE,
    *,
    pins: bool = True,
    tell: Tell = print,
) -> Synthesis:
    """Runs Yosys, unless the cache has its result for this design.

    Without `pins` the ports are those of the part itself.
    """
    tool("yosys")
    return netlist_of(rtlil(cfg, device, scope, pins=pins, tell=tell), device, tell=tell)


def netlist_of(design: str, device: Device, *, tell: Tell = print) -> Synthesis:
    """The netlist of a design in RTLIL."""
    memories = (*WHOLE, *device.memories) if device.memories else ()
    script = "; ".join((*READ, *memories, f"{device.synthesis} -top {TOP}", WRITE))

    def make(folder: Path) -> None:
        tell(f"running Yosys for {device.name}")
        (folder / "design.il").write_text(design)
        run("yosys", ["-q", "-l", "yosys.log", "-p", script], folder, "yosys.log")
        (folder / "design.il").unlink()
        if device.family == "ecp5":
            file = folder / "netlist.json"
            made = json.loads(file.read_text())
            output_registers.move_in(made["modules"][TOP])
            block_ram_sites.assign(made["modules"][TOP], device.close_block_rams)
            multiplier_sites.assign(made["modules"][TOP], device.multiplier_rows)
            near_constants.bring(made["modules"][TOP])
            file.write_text(json.dumps(made))

    sites = repr((device.close_block_rams, device.multiplier_rows))
    key = digest(design, script, FINISH, sites, tool("yosys").version)
    return Synthesis(device, cached("netlist", key, make))


def verilog_of(built: Synthesis) -> str:
    """The netlist as it is placed, for a simulator."""
    source = (built.folder / "netlist.json").read_bytes()
    commands = "; ".join(("read_json netlist.json", *TO_VERILOG))

    def make(folder: Path) -> None:
        (folder / "netlist.json").write_bytes(source)
        run("yosys", ["-q", "-l", "yosys.log", "-p", commands], folder, "yosys.log")
        (folder / "netlist.json").unlink()

    key = digest(source, commands, tool("yosys").version)
    return (cached("verilog-netlist", key, make) / "netlist.v").read_text()


def _placed(
    built: Synthesis, seed: int, megahertz: float, constraints: str, stop: threading.Event,
    minutes: float,
) -> Path:  # fmt: skip
    device = built.device
    name, packer = f"nextpnr-{device.family}", PACK[device.family]
    options = [*device.place, "--freq", f"{megahertz:g}", "--seed", str(seed)]
    options += ["--report", "report.json", "--log", "nextpnr.log", "-q", "--timing-allow-fail"]
    options += ["--json", "netlist.json", "--write", "placed.json"]
    if device.family == "ice40":
        options += ["--asc", "lepton.asc"]
        if constraints:
            options += ["--pcf", "pins"]
    else:
        options += ["--textcfg", "lepton.config"]
        options += ["--lpf", "pins"] if constraints else ["--lpf-allow-unconstrained"]
    source = (built.folder / "netlist.json").read_bytes()

    def make(folder: Path) -> None:
        (folder / "netlist.json").write_bytes(source)
        if constraints:
            (folder / "pins").write_text(constraints)
        try:
            run(name, options, folder, "nextpnr.log", stop=stop, minutes=minutes)
        except Unfinished:
            (folder / UNROUTED).write_text(f"{minutes:g}")
        else:
            run(packer[0], list(packer[1:]), folder, "pack.log", stop=stop)
            # Only where each cell went; the whole is large, and there is one for each seed.
            placed = json.loads((folder / "placed.json").read_text())
            (module,) = placed["modules"].values()
            (folder / "sites.json").write_text(json.dumps(netlist.sites(module["cells"])))
        for file in ("netlist.json", "placed.json", "lepton.asc", "lepton.config"):
            (folder / file).unlink(missing_ok=True)

    key = digest(source, " ".join(options), constraints, " ".join(packer), tool(name).version)
    folder = cached("placed", key, make)
    given_up = folder / UNROUTED
    if given_up.exists() and float(given_up.read_text()) < minutes:
        folder = cached("placed", digest(key, f"{minutes:g}"), make)
    if (folder / UNROUTED).exists():
        raise Unfinished(f"seed {seed} was not routed in {minutes:g} minutes")
    return folder


PACK: dict[str, Sequence[str]] = {
    "ice40": ("icepack", "lepton.asc", "lepton.bin"),
    "ecp5": ("ecppack", "--compress", "lepton.config", "lepton.bit"),
}
