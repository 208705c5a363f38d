"""The netlist of a core in Verilator, instead of the core: what Yosys made, on models of its cells."""

import re
from pathlib import Path

import sim
from host.errors import LeptonError
from host.synth.devices import Device
from host.synth.flow import Tell, synthesize
from host.synth.tools import share
from hw.config import Config
from sim import build
from sim.errors import SimulationError

BLOCKS = {"ecp5": Path(sim.__file__).with_name("ecp5_blocks.v")}
"""Our stand-ins for cells of which Yosys knows the ports only."""

FLAGS = (
    # A cell has pins that nobody needs.
    "-Wno-PINMISSING",
    "-Wno-PINCONNECTEMPTY",
    "-Wno-UNDRIVEN",
    "-Wno-UNUSED",
    # Models have delays and timescales of their own.
    "-Wno-TIMESCALEMOD",
    "-Wno-STMTDLY",
    "-Wno-INITIALDLY",
    "-Wno-MULTIDRIVEN",
    "-DNO_ICE40_DEFAULT_ASSIGNMENTS",
)


OPTIMIZE = ("-O1",)
"""Of the compiler: a netlist runs a few thousand cycles, and would take minutes to optimize."""


def library(cfg: Config, device: Device, *, tell: Tell = print) -> Path:
    """The simulation library of a configuration's netlist, built unless the cache has it."""
    built = synthesize(cfg, device, pins=False, tell=tell)
    text = (built.folder / "netlist.v").read_text() + models(device.family)
    try:
        return build.compile_library(text, flags=FLAGS, optimize=OPTIMIZE, progress=tell)
    except SimulationError as error:
        raise LeptonError(f"the netlist for {device.name} cannot be simulated: {error}") from error


def models(family: str) -> str:
    """Verilog of the family's cells: Yosys' models, and ours in the place of its empty ones."""
    folder = share() / family
    text = _included(folder / "cells_sim.v")
    if family in BLOCKS:
        ours = BLOCKS[family].read_text()
        for name in re.findall(r"^module (\w+)", ours, re.MULTILINE):
            empty = rf"(\(\* blackbox \*\)\s*)?\bmodule {name}\b.*?endmodule"
            text = re.sub(empty, "", text, flags=re.DOTALL)
        text += ours
    # Delays, which a simulator of cycles has no use for.
    return re.sub(r"\bspecify\b.*?\bendspecify\b", "", text, flags=re.DOTALL)


def _included(path: Path) -> str:
    """A file with those that it includes, each once."""
    seen = set()

    def read(file: Path) -> str:
        if file in seen or not file.exists():
            return ""
        seen.add(file)
        return re.sub(
            r'^`include "(.*)"$',
            lambda found: read(file.with_name(found[1])),
            file.read_text(),
            flags=re.MULTILINE,
        )

    return read(path)
