"""Configuration to Verilog."""

import os
import re
from itertools import count

from amaranth.back import verilog
from amaranth.lib import wiring

from .config import Config
from .core import Core
from .memory_zeros import written_at_once
from .uart import UARTCore


def emit(cfg: Config, *, divisor: int | None = None, slots: int = 8) -> str:
    """Verilog of the whole core, top module `lepton`; the same text for the same configuration.

    With a `divisor` the core is behind a UART that takes so many cycles for each bit and keeps so
    many frames for each direction.
    """
    return convert(Core(cfg) if divisor is None else UARTCore(cfg, divisor=divisor, slots=slots))


def convert(top: wiring.Component, *, name: str = "lepton", platform: object = None) -> str:
    """Verilog of a component as the module of that name, in generic form or for a platform."""
    # Debian's Yosys is older than what Amaranth needs; the one that comes with it is pinned.
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    with written_at_once():
        text = verilog.convert(
            top, name=name, platform=platform, emit_src=False, strip_internal_attrs=True
        )
    numbers = count(1)

    def loop(found: re.Match[str]) -> str:
        rows = found[0].count(";")
        return (
            f"  initial begin : zeros_{next(numbers)}\n"
            "    integer row;\n"
            f"    for (row = 0; row < {rows}; row = row + 1)\n"
            f"      {found[1]}[row] = {found[2]};\n"
            "  end\n"
        )

    return ZEROS.sub(loop, text)


ZEROS = re.compile(
    r"^  initial begin\n    (\S+ ?)\[0\] = (\d+'[dh]0+);\n(?:    \1\[\d+\] = \2;\n)+  end\n",
    re.MULTILINE,
)
"""A memory that begins as zeros, row by row: most of the text of a core, and of the time that
Verilator takes for it."""
