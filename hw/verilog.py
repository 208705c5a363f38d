"""Configuration to Verilog."""

import os

from amaranth.back import verilog

from .config import Config
from .core import Core


def emit(cfg: Config) -> str:
    """Verilog of the whole core, top module `lepton`; the same text for the same configuration."""
    # Debian's Yosys is older than what Amaranth needs; the one that comes with it is pinned.
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    return verilog.convert(Core(cfg), name="lepton", emit_src=False, strip_internal_attrs=True)
