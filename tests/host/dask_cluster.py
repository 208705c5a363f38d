"""A Dask scheduler and its workers, each a process of its own, and work for them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

ROOT = Path(__file__).parents[2]


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """The scheduler's address on this machine, and the workers' processes, all of them ready."""
    found = folder / "scheduler.json"
    quiet = {
        "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
    }  # fmt: skip
    dask = [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--scheduler-file", str(found), "--no-dashboard"]
    processes = [subprocess.Popen([*dask, "scheduler", *local, "--port", "0"], **quiet)]
    try:
        until = time.monotonic() + 60
        while not found.exists():
            assert time.monotonic() < until, "the scheduler did not start"
            time.sleep(0.05)
        address = json.loads(found.read_text())["address"]
        one = ["--nthreads", "1", "--no-nanny"]
        processes += [
            subprocess.Popen([*dask, "worker", *local, *one], **quiet) for _ in range(workers)
        ]
        if workers:
            with Client(address) as client:
                client.wait_for_workers(workers, timeout=60)
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def slow_square(work: tuple[int, str]) -> tuple[int, int]:
    """The square, and who computed it; the folder gets a file when it begins."""
    number, folder = work
    (Path(folder) / f"{os.getpid()}-{number}").touch()
    time.sleep(0.2)
    return number * number, os.getpid()


def pid(_: int) -> int:
    """Of the worker."""
    return os.getpid()


def fails(number: int) -> int:
    """Never returns."""
    raise ValueError(f"no square of {number}")


def start_and_leave(seconds: int) -> int:
    """The number of a process that goes on when this worker ends."""
    return subprocess.Popen(["sleep", str(seconds)]).pid
