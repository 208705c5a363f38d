"""Tools of synthesis that take no time: scripts in the place of Yosys and nextpnr."""

import stat
import sys
from pathlib import Path

TRACE = "called"
"""File of the folder to which each tool adds its name."""

YOSYS = """
import json, os, sys, time
if "-V" in sys.argv:
    print("Yosys 0.99"); sys.exit()
called("yosys")
if YOSYS_SLEEP:
    open(os.environ["STARTED"], "w").write(str(os.getpid()))
    time.sleep(YOSYS_SLEEP)
cells = {f"core.runner.lanes.lane_0.array.sums_{KIND}_{i}": {
    "type": "LUT4", "parameters": {}, "attributes": {},
    "connections": {"A": [2], "Z": [3 + i]}, "port_directions": {"A": "input", "Z": "output"},
} for i in range(LUTS)}
json.dump({"modules": {"lepton": {"ports": {}, "cells": cells}}}, open("netlist.json", "w"))
"""

NEXTPNR = """
import json, os, sys, time
if "--version" in sys.argv:
    print("nextpnr-ecp5 -- Version 0.9"); sys.exit()
called("nextpnr")
seed = int(sys.argv[sys.argv.index("--seed") + 1])
if SLEEP and seed not in QUICK:
    if "STARTED" in os.environ:
        open(os.environ["STARTED"], "w").write(str(os.getpid()))
    time.sleep(SLEEP)
asked = float(sys.argv[sys.argv.index("--freq") + 1])
step = {"delay": 4.0, "from": {"cell": "core.runner.feeder.x_TRELLIS_FF_Q"},
        "to": {"cell": "core.runner.lanes.lane_0.array.sums_LUT4_Z"}, "type": "routing"}
end = {"delay": 1.0, "from": {"cell": "core.runner.lanes.lane_0.array.sums_LUT4_Z"},
       "to": {"cell": "core.runner.post.y_TRELLIS_FF_Q_3"}, "type": "setup"}
json.dump({
    "fmax": {"clk": {"achieved": 50.0 + 10 * seed, "constraint": asked}},
    "critical_paths": [{"from": "posedge clk", "to": "posedge clk", "path": [step, end]}],
    "utilization": {"TRELLIS_COMB": {"used": 7, "available": 24288}},
}, open("report.json", "w"))
cells = json.load(open("netlist.json"))["modules"]["lepton"]["cells"]
for i, cell in enumerate(cells.values()):
    cell["attributes"]["NEXTPNR_BEL"] = f"X{i}/Y1/SLICEA.LUT0"
json.dump({"modules": {"top": {"cells": cells}}}, open("placed.json", "w"))
open("lepton.config", "w").write("x")
"""

ECPPACK = """
import sys
called("ecppack")
open(sys.argv[-1], "w").write("bits")
"""


def install(
    folder: Path, *, luts: int = 5, sleep: float = 0, yosys_sleep: float = 0,
    quick: tuple[int, ...] = (),
) -> Path:  # fmt: skip
    """Puts tools into a folder for PATH; returns the file in which they leave their names.

    `sleep` is of nextpnr, for all seeds that are not `quick`.
    """
    trace = folder / TRACE
    head = (
        f"#!{sys.executable}\ndef called(name):\n    open({str(trace)!r}, 'a').write(name + ' ')\n"
    )
    head += f"LUTS, SLEEP, YOSYS_SLEEP, KIND = {luts}, {sleep}, {yosys_sleep}, 'LUT4'\n"
    head += f"QUICK = {quick}\n"
    for name, text in (("yosys", YOSYS), ("nextpnr-ecp5", NEXTPNR), ("ecppack", ECPPACK)):
        path = folder / name
        path.write_text(head + text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    trace.write_text("")
    return trace


def given(made: dict) -> dict[str, str]:
    """The sites that cells of a flat module have before it is placed."""
    return {
        name: cell["attributes"]["BEL"]
        for name, cell in made["cells"].items()
        if "BEL" in cell.get("attributes", {})
    }
