"""A design as RTLIL, which Yosys reads."""

import os
import re
from enum import StrEnum

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

from .array import Array
from .config import Config
from .core import Core
from .few_pins import FewPins
from .lane import array_form
from .memory_zeros import written_at_once
from .requant import Requant
from .target import TARGETS
from .tree import Tree

TOP = "lepton"


class Scope(StrEnum):
    """What is built."""

    CORE = "core"
    ARRAY = "array"
    REQUANT = "requant"


def part_of(cfg: Config, scope: Scope) -> Core | Array | Tree | Requant:
    """That of a core."""
    match scope:
        case Scope.CORE:
            return Core(cfg)
        case Scope.ARRAY:
            return array_form(cfg)(cfg)
        case Scope.REQUANT:
            return Requant(cfg)


def emit(cfg: Config, *, scope: str, part: str | None, pins: bool) -> str:
    """RTLIL of a core or a part of it, for a key of `TARGETS` or, without one, in generic form.

    With `pins` it stands behind so few pins that any package has them.
    """
    found = part_of(cfg, Scope(scope))
    top: Elaboratable = FewPins(found) if pins else found
    return convert(top, None if part is None else TARGETS[part])


def convert(top: Elaboratable, platform: object) -> str:
    """RTLIL of any design whose ports follow from its signature; the top module is `TOP`."""
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    with written_at_once():
        return renamed(rtlil.convert(top, name=TOP, platform=platform, emit_src=False))


def renamed(text: str) -> str:
    """RTLIL without brackets in names.

    Amaranth names an element of an array ``x[3]``, which ABC9 takes for bit 3 of ``x``: it then
    stops with a failed assertion. It becomes ``x.3``.
    """
    return re.sub(r"\\\S*\[\S*", lambda name: name[0].replace("[", ".").replace("]", ""), text)
