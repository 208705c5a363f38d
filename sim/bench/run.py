"""Runs a bench: pytest's side starts the simulator, the simulator's side reads the case."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cocotb_tools.runner

from sim import coverage
from sim.bench.build import TOP

VARIABLE = "LEPTON_BENCH_CASE"

SEEDS = "LEPTON_BENCH_SEEDS"
"""Environment variable: random networks of a test, a seed or the first and the last of many."""


CONFIGS = "LEPTON_BENCH_CONFIGS"
"""Environment variable: random configurations, in the same form."""

AS_WRITTEN = {"COCOTB_REWRITE_ASSERTION_FILES": ""}
"""Assertions of benches say themselves what is wrong. By default cocotb has pytest rewrite them so
that they do, and those of Amaranth and NumPy, all compiled again in each simulator: four seconds of
a processor."""


def run(simulator: Path, module: str, test: str, folder: Path, case: dict[str, Any]) -> None:
    """Runs a test of a module of this package; AssertionError with what it said when it failed.

    `case` is what it reads with `read_case`; `folder` takes it, the results and the log.
    """
    (folder / TOP).symlink_to(simulator)
    given, log, results = folder / "case.json", folder / "log.txt", folder / "results.xml"
    given.write_text(json.dumps(case))
    # It exits when a test fails; what it found out is in the results.
    with contextlib.suppress(SystemExit):
        cocotb_tools.runner.Verilator().test(
            test_module=f"sim.bench.{module}",
            testcase=test,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            results_xml=str(results),
            extra_env={VARIABLE: str(given), **AS_WRITTEN},
            log_file=log,
            seed=1,
        )
    if coverage.folder() is not None and (folder / "coverage.dat").exists():
        coverage.add(folder / "coverage.dat", simulator.parent)
    said = _failures(results, log)
    if said:
        raise AssertionError(f"{said}\nreproduce with: {_command()}")


def read_case() -> dict[str, Any]:
    """The case, in the simulator."""
    return json.loads(Path(os.environ[VARIABLE]).read_text())


def _command() -> str:
    """Runs the present test again; everything random in it has a seed."""
    chosen = {name: os.environ[name] for name in (SEEDS, CONFIGS) if name in os.environ}
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return " ".join([*(f"{k}={v}" for k, v in chosen.items()), f"python -m pytest '{test}'"])


def _failures(results: Path, log: Path) -> str:
    """What failed; nothing when all went well."""
    end = "\n".join(log.read_text().splitlines()[-30:]) if log.exists() else ""
    if not results.exists():
        return f"the simulator died:\n{end}"
    tests = ElementTree.parse(results).findall(".//testcase")
    if not tests:
        return f"no test ran:\n{end}"
    for test in tests:
        for kind in ("failure", "error"):
            found = test.find(kind)
            if found is not None:
                return f"{test.get('name')}: {found.get('message') or end}"
    return ""
