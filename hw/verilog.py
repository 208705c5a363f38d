"""Configuration to Verilog."""

import os

from amaranth.back import verilog

from .config import Config
from .core import Core
from .uart import UARTCore


def emit(cfg: Config, *, divisor: int | None = None, slots: int = 8) -> str:
    """Verilog of the whole core, top module `lepton`; the same text for the same configuration.

    With a `divisor` the core is behind a UART that takes so many cycles for each bit and keeps so
    many frames for each direction.
    """
    # Debian's Yosys is older than what Amaranth needs; the one that comes with it is pinned.
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    top = Core(cfg) if divisor is None else UARTCore(cfg, divisor=divisor, slots=slots)
    return verilog.convert(top, name="lepton", emit_src=False, strip_internal_attrs=True)
