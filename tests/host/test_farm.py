"""Several processes through Dask: nothing is lost, nothing differs, whatever dies."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from host import catalog, farm
from host.cli import execute
from host.compiler import compile
from host.driver import Session
from host.errors import LeptonError
from host.evaluation import measure
from host.explore.work import Job, carry_out
from host.farm import Farm
from host.measurement import Experiment
from host.synth import DEVICES, Scope, synthesize
from host.workers import run_layers
from hw.config import named
from tests.host import dask_cluster
from tests.host.dask_cluster import cluster, fails, slow_square

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own


def test_a_killed_worker_loses_no_result(tmp_path):
    with cluster(tmp_path, workers=3) as (address, workers), Farm(scheduler=address) as some:
        found = {}
        for i, (square, by) in some.map(slow_square, [(n, str(tmp_path)) for n in range(20)]):
            if not found:
                # Another one, in the middle of its work.
                others = [worker for worker in workers if worker.pid != by]
                victim = _first(others, lambda worker: any(tmp_path.glob(f"{worker.pid}-*")))
                os.kill(victim.pid, signal.SIGKILL)
            found[i] = square
    assert found == {n: n * n for n in range(20)}


def test_a_worker_killed_while_it_runs_yosys_loses_no_result(tmp_path, monkeypatch):
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "cache"))
    device = DEVICES["ecp5-25k"]
    cores = [replace(named("tiny"), rows=rows) for rows in (2, 3, 4)]
    jobs = [Job(str(c.rows), device.name, dict(c.items()), scope=Scope.ARRAY) for c in cores]
    with cluster(tmp_path, workers=2) as (address, workers), Farm(scheduler=address) as some:
        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(lambda: dict(some.map(carry_out, jobs)))
            busy = _first(workers, lambda worker: _runs(worker.pid, "yosys"))
            assert not work.done(), "it was done before"
            os.kill(busy.pid, signal.SIGKILL)
            found = work.result(timeout=120)
    for i, core in enumerate(cores):
        built = synthesize(core, device, Scope.ARRAY, tell=lambda _: None)
        assert found[i]["usage"] == built.usage.record()


def _first(processes, holds):
    """The first for which something holds, which may take it a while."""
    until = time.monotonic() + 90
    while not (found := [process for process in processes if holds(process)]):
        assert time.monotonic() < until, "none of them has work"
        time.sleep(0.01)
    return found[0]


def _runs(parent: int, name: str) -> bool:
    """Whether a process has a child of such a name."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            above = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if int(above) == parent and name in (folder / "cmdline").read_text():
                return True
    return False


def test_inference_survives_a_killed_worker_with_every_byte(tmp_path):
    graph = catalog.find("lenet5-mnist").quantize(16)
    program = compile(graph, named("tiny"))
    images = np.random.default_rng(3).integers(-128, 128, (24, *graph.input_shape), np.int8)
    with Session(program) as session:
        expected = session.run_layers(images)
    killed = []
    with cluster(tmp_path, workers=2) as (address, workers), Farm(scheduler=address) as some:

        def kill_one(done: int) -> None:
            if not killed:
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append(done)

        found, counters = run_layers(program, images, some, kill_one)
    assert killed
    assert killed[0] < len(images), "it was killed when all was done"
    for name, values in expected.items():
        assert np.array_equal(found[name], values), name
    assert counters.batches == len(images)


def test_run_on_workers_measures_what_one_core_does():
    one, several = (
        measure(
            Experiment(
                model="lenet5-mnist", config=named("tiny"), config_name="tiny", images=16,
                workers=workers,
            )
        )
        for workers in (None, 2)
    )  # fmt: skip
    assert one.hardware is not None
    assert several.hardware is not None
    assert several.hardware.mismatched_bytes == 0
    assert several.hardware.checked_bytes == one.hardware.checked_bytes
    assert several.hardware.accuracy == one.hardware.accuracy
    assert several.hardware.counters.cycles_per_image == one.hardware.counters.cycles_per_image
    assert several.hardware.counters.latency == one.hardware.counters.latency


def test_work_runs_in_other_processes_and_its_errors_come_back():
    with Farm(workers=2) as some:
        assert os.getpid() not in {by for _, by in some.map(dask_cluster.pid, range(4))}
        with pytest.raises(ValueError, match="no square of 3"):
            list(some.map(fails, [3]))


def test_what_workers_started_ends_with_them():
    with Farm(workers=1) as some:
        ((_, child),) = some.map(dask_cluster.start_and_leave, [60])
        assert not _ended(child)
    until = time.monotonic() + 20
    while not _ended(child):
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.05)


def _ended(pid: int) -> bool:
    """Whether the process is gone, or only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_scheduler_without_workers_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(farm, "CONNECT_S", 1)
    with (
        cluster(tmp_path, workers=0) as (address, _),
        pytest.raises(LeptonError, match="has no workers; start some with `dask worker tcp"),
    ):
        Farm(scheduler=address).__enter__()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "http://127.0.0.1:9"])
def test_an_unreachable_scheduler_is_one_sentence(capsys, monkeypatch, address):
    monkeypatch.setattr(farm, "CONNECT_S", 1)
    code = execute(
        ["run", "lenet5-mnist", "--config", "tiny", "--images", "4", "--scheduler", address]
    )
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"lepton: no Dask scheduler answers at {address}; start one")
    assert [line for line in lines if "Traceback" in line] == []


def test_workers_are_of_simulated_cores_only(capsys):
    assert execute(["run", "lenet5-mnist", "--target", "reference", "--workers", "2"]) == 2
    assert "--workers and --scheduler are of simulated cores" in capsys.readouterr().err
