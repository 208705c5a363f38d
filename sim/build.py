"""From a configuration to a shared library of its Verilated core, kept in a cache."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import coverage, toolchain
from .cache import cached, digest
from .commands import Progress, processors, run, tell
from .convert import converted
from .convert import hardware_hash as hardware_hash
from .errors import SimulationError

if TYPE_CHECKING:
    from hw.config import Config

LIBRARY = "lepton.so"

WaveFormat = Literal["fst", "vcd"]

CONVERT = """
import json, sys
from hw.config import Config
from hw.verilog import emit
choice = json.load(sys.stdin)
sys.stdout.write(emit(Config(**choice.pop("config")), **choice))
"""


@dataclass(frozen=True)
class Harness:
    """What stands around the top `lepton`: C++ that moves its ports, Verilog that resets it.

    Resets come from a register. Amaranth writes every reset as part of the next state, so with
    `rst` an input Verilator computes all next states again whenever any input may have changed: a
    fifth of the time.
    """

    source: Path
    wrapper: str
    ports: str
    """What the port list of the top has to match; its first group, if any, goes into `wrapper`."""


PACKETS = Harness(
    Path(__file__).with_name("harness.cpp"),
    """
module {top}(clk, rst, i__payload, i__valid, i__ready, o__payload, o__valid, o__ready);
  input clk, rst, i__valid, o__ready;
  input [{width}:0] i__payload;
  output [{width}:0] o__payload;
  output i__ready, o__valid;
  reg held = 1;
  always @(posedge clk) held <= rst;
  lepton lepton(
    .clk(clk), .rst(held), .i__payload(i__payload), .i__valid(i__valid), .i__ready(i__ready),
    .o__payload(o__payload), .o__valid(o__valid), .o__ready(o__ready)
  );
endmodule
""",
    r"input \[(\d+):0\] i__payload;",
)
"""Packets as beats of a stream."""

SERIAL = Harness(
    Path(__file__).with_name("serial.cpp"),
    """
module {top}(clk, rst, rx, tx, running);
  input clk, rst, rx;
  output tx, running;
  reg held = 1;
  always @(posedge clk) held <= rst;
  lepton lepton(.clk(clk), .rst(held), .rx(rx), .tx(tx), .running(running));
endmodule
""",
    r"input (rx);",
)
"""A core behind a UART, with the other end of its line."""

TOP = "simulation"

PRELUDE = "prelude.h"

PRELUDE_INCLUDES = (
    "<algorithm>", "<memory>", "<stdexcept>", "<string>", "<vector>",
    '"verilated.h"', '"verilated_syms.h"',
)  # fmt: skip

UNIT_BYTES = 200_000
"""Of source: when there is more, it is compiled in several pieces side by side."""


def library(
    cfg: "Config", *, waves: WaveFormat | None = None, progress: Progress | None = None
) -> Path:
    """The simulation library of a configuration, built unless the cache has it.

    `waves` names the format in which the library can record waves; such a library keeps every
    signal and is several times slower. `progress` is told what is being built, if anything.
    """
    return compile_library(verilog(cfg, progress=progress), waves=waves, progress=progress)


def serial_library(
    cfg: "Config", divisor: int, *, slots: int = 8, progress: Progress | None = None
) -> Path:
    """The simulation library of a configuration behind a UART of `divisor` cycles for each bit,
    which keeps so many frames for each direction."""
    text = verilog(cfg, divisor=divisor, slots=slots, progress=progress)
    return compile_library(text, harness=SERIAL, progress=progress)


def verilog(
    cfg: "Config", *, divisor: int | None = None, slots: int = 8, progress: Progress | None = None
) -> str:
    """The Verilog of a configuration, converted unless the cache has it for the hw/ of now.

    With a `divisor` it is behind a UART that takes so many cycles for each bit and keeps so many
    frames for each direction.
    """
    choice = {"config": asdict(cfg)}
    if divisor is not None:
        choice |= {"divisor": divisor, "slots": slots}
    return converted(CONVERT, choice, what="Verilog", progress=progress)


def compile_library(
    verilog: str,
    *,
    harness: Harness = PACKETS,
    flags: Sequence[str] = (),
    optimize: Sequence[str] = toolchain.FAST_FLAGS,
    waves: WaveFormat | None = None,
    progress: Progress | None = None,
) -> Path:
    """The simulation library of any Verilog text with a top `lepton` that has the right ports.

    `flags` are more of Verilator's, `optimize` those of the compiler for what runs every cycle.
    """
    text = verilog + _wrapper(verilog, harness)
    found = toolchain.verilator()
    flags = (*toolchain.VERILATOR_FLAGS, *flags)
    common = (*toolchain.CXX_FLAGS, f"-I{found.include}", f"-I{found.include}/vltstd")
    libraries: tuple[str, ...] = ()
    if waves is not None:
        flags += (f"--trace-{waves}",)
        common += ("-DVM_TRACE=1", f"-DVM_TRACE_{waves.upper()}=1")
    if waves == "fst":
        libraries = ("-lz", "-llz4")
    covered = coverage.folder() is not None
    if covered:
        flags += coverage.FLAGS
        common += ("-DVM_COVERAGE=1",)
    slow = (*common, *toolchain.SLOW_FLAGS)
    fast = (*common, *optimize)
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
        tell(progress, "running Verilator")
        command = [str(found.command), "--cc", "--top-module", TOP, "--prefix", "Vlepton"]
        command += [*flags, "--make", "json", "-Mdir", str(work), str(work / "lepton.v")]
        run([command], toolchain.build_environment())

        listed = json.loads((work / "Vlepton.json").read_text())["sources"]
        runtime_sources = listed.pop("global")
        often, once = [str(harness.source)], []
        for kind, sources in listed.items():
            if kind != "deps":
                (often if kind.endswith("_fast") else once).extend(sources)
        jobs = [(unit, fast) for unit in _units(often, work / "often")]
        jobs += [(unit, slow) for unit in _units(once, work / "once")]
        if waves is None:  # of which there are few builds
            headers = {given: _prelude(given, found, progress) for given in (fast, slow)}
            jobs = [(unit, (*given, *headers[given])) for unit, given in jobs]
        _compile(jobs, work, progress, f"-I{work}")
        runtime = [_runtime(source, found, progress) for source in runtime_sources]
        tell(progress, "linking")
        objects = [str(path) for path in [*sorted(work.glob("*.o")), *runtime]]
        target = str(folder / LIBRARY)
        run([[compiler, "-shared", "-Wl,-z,defs", "-pthread", "-o", target, *objects, *libraries]])
        if covered:
            (work / coverage.VERILOG).rename(folder / coverage.VERILOG)
        shutil.rmtree(work)

    key = digest(text, harness.source.read_text(), *identity)
    return cached("library", key, build) / LIBRARY


def _wrapper(verilog: str, harness: Harness) -> str:
    """The module around the top."""
    top = re.search(r"^module lepton\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    port = top and re.search(harness.ports, top[0])
    if not port:
        raise SimulationError("the Verilog has no module lepton with the ports of a core")
    return harness.wrapper.format(top=TOP, width=port[1])


def _identity(found: toolchain.Verilator) -> list[str]:
    """What decides the result of a build besides sources and flags."""
    recipe = Path(__file__).read_text()
    return [found.version, toolchain.host(), recipe, *toolchain.RUNTIME_FLAGS]


def _prelude(
    flags: Sequence[str], found: toolchain.Verilator, progress: Progress | None
) -> tuple[str, ...]:
    """Options that include what every file of a core begins with, compiled once for these flags:
    three seconds of each file, and a third of the work of building a small core."""

    def build(folder: Path) -> None:
        tell(progress, "compiling the headers of Verilator's runtime")
        header = folder / PRELUDE
        header.write_text("".join(f"#include {name}\n" for name in PRELUDE_INCLUDES))
        compiler = toolchain.compiler()
        run([[compiler, *flags, "-x", "c++-header", str(header), "-o", f"{header}.gch"]])

    key = digest(*PRELUDE_INCLUDES, *_identity(found), *flags)
    return ("-include", str(cached("prelude", key, build) / PRELUDE))


def _runtime(source: str, found: toolchain.Verilator, progress: Progress | None) -> Path:
    """The object of a part of Verilator's runtime: the same for every core, with and without waves.

    That is half the work of building a small core.
    """
    flags = (*toolchain.CXX_FLAGS, *toolchain.RUNTIME_FLAGS, "-DVL_USER_FATAL")
    flags += (f"-I{found.include}", f"-I{found.include}/vltstd")

    def build(folder: Path) -> None:
        tell(progress, f"compiling {Path(source).name}")
        _compile([(source, flags)], folder, progress)

    folder = cached("runtime", digest(Path(source).name, *_identity(found), *flags), build)
    return folder / f"{Path(source).stem}.o"


def _units(sources: Sequence[str], stem: Path) -> list[str]:
    """Joins sources: reading Verilator's headers takes longer than compiling a small one."""
    sizes = {source: Path(source).stat().st_size for source in sources}
    count = min(processors(), sum(sizes.values()) // UNIT_BYTES + 1)
    units: list[list[str]] = [[] for _ in range(count)]
    for source in sorted(sources, key=lambda source: -sizes[source]):
        min(units, key=lambda unit: sum(sizes[one] for one in unit)).append(source)
    paths = [stem.with_name(f"{stem.name}_{i}.cpp") for i in range(count)]
    for path, unit in zip(paths, units, strict=True):
        path.write_text("".join(f'#include "{source}"\n' for source in unit))
    return [str(path) for path in paths]


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
    run(commands, progress=progress)
