"""Whatever happens to a run or to a file: a clear error, and the next run works."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import host
from host.errors import LeptonError
from hw.config import Config
from sim import build
from sim.cache import cache_folder
from tests.sim.cores import echo_verilog

ROOT = Path(host.__file__).parents[1]

CFG = Config(
    rows=3, cols=2, scratchpad_bytes=1024, weight_depth=256, acc_depth=64, table_depth=16,
    program_depth=256, result_depth=16, packet_words=64, trace_depth=4,
)  # fmt: skip
"""That of tests/e2e/test_packets.py, so that both need one simulator."""


@pytest.fixture(scope="module")
def network():
    """A small program, images and what comes out."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4)).eval()
    graph = host.quantize(module, torch.rand(64, 1, 5, 5))
    images = torch.rand(9, 1, 5, 5).numpy()
    return host.compile(graph, CFG), images, host.reference(graph, images)


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "model.lepton"
    network[0].save(path)
    return path


def check(network, path=None):
    """The network runs, from a file or as it is, and every byte is right."""
    program, images, expected = network
    with host.Session(program if path is None else host.Program.load(path)) as session:
        assert (session.run(images) == expected).all()


def test_a_program_with_any_byte_changed_is_refused(network, saved):
    whole = saved.read_bytes()
    rng = np.random.default_rng(seed=2)
    damaged = saved.with_name("damaged.lepton")
    damaged.write_bytes(whole)
    said = set()
    with damaged.open("r+b", buffering=0) as file:
        for position in range(len(whole)):
            os.pwrite(file.fileno(), bytes([whole[position] ^ 1 << rng.integers(0, 8)]), position)
            with pytest.raises(LeptonError) as error:
                host.Program.load(damaged)
            said.add(str(error.value))
            os.pwrite(file.fileno(), whole[position : position + 1], position)
    assert said == {
        f"{damaged} is not a Lepton program of this version; compile it again",
        f"the program {damaged} is damaged: its checksum is wrong; compile it again",
    }
    check(network, saved)


def test_a_program_that_is_cut_off_or_goes_on_is_refused(network, saved):
    whole = saved.read_bytes()
    damaged = saved.with_name("damaged.lepton")
    damaged.write_bytes(whole + whole)
    for size in (2 * len(whole), len(whole) + 1, *reversed(range(len(whole)))):
        os.truncate(damaged, size)
        with pytest.raises(LeptonError, match=r"is damaged|is not a Lepton program"):
            host.Program.load(damaged)


def in_another_process(code, *arguments, **environment):
    """A Python process that has this project and, unless told otherwise, this cache."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


LIMITED = """
import resource, sys
from host.errors import LeptonError
from host.program import Program
program = Program.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    program.save(sys.argv[2])
except LeptonError as error:
    print(error)
"""


@pytest.mark.parametrize("there", [False, True], ids=["new", "another is there"])
def test_a_program_that_does_not_fit_on_the_disk_is_not_written_in_part(network, saved, there):
    target = saved.with_name("target.lepton")
    if there:
        target.write_bytes(b"what was there")
    process = in_another_process(LIMITED, saved, target, saved.stat().st_size - 1)
    output, complaints = process.communicate()
    assert (output, complaints) == (f"{target} cannot be written: File too large\n", "")
    assert (
        sorted(p.name for p in saved.parent.iterdir()) == ["model.lepton"] + [target.name] * there
    )
    if there:
        assert target.read_bytes() == b"what was there"
    network[0].save(target)
    check(network, target)


BUILD = """
import resource, sys
from pathlib import Path
from sim import build
from sim.errors import SimulationError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    build.compile_library(Path(sys.argv[1]).read_text())
except SimulationError as error:
    print(error)
"""


# Verilator's output does not fit; the compiler's does not; the library does not.
@pytest.mark.parametrize("limit", [2_000, 30_000, 250_000], ids="{} bytes".format)
def test_a_build_that_does_not_fit_on_the_disk_says_so_and_leaves_nothing(tmp_path, limit):
    source = tmp_path / "echo.v"
    source.write_text(echo_verilog(32))
    library = build.compile_library(source.read_text())
    assert library.stat().st_size > limit
    cache = tmp_path / "cache"
    # Verilator's runtime takes longest to compile, and has its entries already.
    shutil.copytree(cache_folder() / "runtime", cache / "runtime")
    process = in_another_process(BUILD, source, limit, LEPTON_CACHE=str(cache))
    output, complaints = process.communicate()
    assert output.startswith(f"no space is left in the cache folder {cache}; free some"), complaints
    assert output.count("\n") == 1
    assert list(cache.glob("*/*.tmp")) == []
    assert list(cache.glob("library/*/lepton.so")) == []


RUN = """
import sys
import numpy as np
import host
program, images = host.Program.load(sys.argv[1]), np.load(sys.argv[2])
with host.Session(program) as session:
    print("running", flush=True)
    while True:
        session.run(images)
"""


def test_a_simulation_that_is_killed_in_mid_run_leaves_nothing_behind(network, saved):
    check(network)
    before = set(cache_folder().glob("*/*.tmp"))
    images = saved.with_name("images.npy")
    np.save(images, np.resize(network[1], (2_000, 1, 5, 5)))
    process = in_another_process(RUN, saved, images)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert set(cache_folder().glob("*/*.tmp")) <= before
    check(network)


BOTH = """
import sys
import numpy as np
import host
program, images = host.Program.load(sys.argv[1]), np.load(sys.argv[2])
with host.Session(program) as session:
    for _ in range(20):
        print(session.run(images, dequantize=False).tobytes().hex(), flush=True)
"""


def test_two_processes_run_one_simulator_from_one_cache(network, saved):
    program, images, expected = network
    np.save(saved.with_name("images.npy"), images)
    processes = [in_another_process(BOTH, saved, saved.with_name("images.npy")) for _ in range(2)]
    outputs = [process.communicate()[0].splitlines() for process in processes]
    assert len(outputs[0]) == 20
    assert len({line for lines in outputs for line in lines}) == 1
    found = np.frombuffer(bytes.fromhex(outputs[1][-1]), np.int8).reshape(len(images), -1)
    assert (program.output.dequantize(found) == expected).all()
