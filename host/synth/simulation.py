"""The netlist of a core in Verilator: what Yosys made, on models of its cells."""

from pathlib import Path

from host.errors import LeptonError
from host.synth.devices import Device
from host.synth.flow import Tell, synthesize, verilog_of
from hw.config import Config
from sim import build, cells, toolchain
from sim.errors import SimulationError

QUIET = (
    "PINMISSING", "PINCONNECTEMPTY", "UNDRIVEN", "UNUSED", "INITIALDLY", "MULTIDRIVEN",
    "TIMESCALEMOD",
)  # fmt: skip
"""Cells have pins that nobody needs, and Yosys' models are not written for Verilator."""

FLAGS = (*(f"-Wno-{name}" for name in QUIET), "-DNO_ICE40_DEFAULT_ASSIGNMENTS")

OPTIMIZE = toolchain.SLOW_FLAGS
"""Of the compiler: a netlist runs a few thousand cycles, and would take minutes to optimize."""


def library(cfg: Config, device: Device, *, tell: Tell = print) -> Path:
    """The simulation library of a configuration's netlist, built unless the cache has it."""
    built = synthesize(cfg, device, pins=False, tell=tell)
    try:
        text = verilog_of(built) + cells.models(device.family)
        return build.compile_library(text, flags=FLAGS, optimize=OPTIMIZE, progress=tell)
    except SimulationError as error:
        raise LeptonError(f"the netlist for {device.name} cannot be simulated: {error}") from error
