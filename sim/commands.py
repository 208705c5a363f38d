"""Runs compilers side by side, and says in a line what went wrong."""

import errno
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .cache import cache_folder
from .errors import SimulationError

Progress = Callable[[str], None]

FULL = ("No space left on device", "File too large", "File size limit exceeded")
"""What compilers say when they cannot write."""


def processors() -> int:
    """How many commands run side by side."""
    return len(os.sched_getaffinity(0))


def run(
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
                while waiting and len(running) < processors():
                    command, log = waiting.pop(0), Path(logs) / f"{len(waiting)}"
                    with log.open("wb") as output:
                        # Not closed: the lock of the cache's entry, held as long as they write it.
                        process = subprocess.Popen(
                            command,
                            stdout=output,
                            stderr=subprocess.STDOUT,
                            env=environment,
                            close_fds=False,
                        )
                    running.append((command, process, log))
                    if len(commands) > 1:
                        count = len(commands) - len(waiting)
                        tell(progress, f"compiling {count} of {len(commands)}")
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
    full = any(said in output for said in FULL) or code == -signal.SIGXFSZ
    if full or shutil.disk_usage(cache_folder()).free < 1 << 20:
        return OSError(errno.ENOSPC, "No space left on device")
    telling = ("%Warning", "%Error", "undefined reference", "error:")
    lines = [line for line in output.splitlines() if any(word in line for word in telling)]
    said = (lines or output.splitlines() or [f"exit code {code}"])[0].strip()
    return SimulationError(f"{Path(command[0]).name} failed: {said}")


def tell(progress: Progress | None, text: str) -> None:
    """Reports progress to whoever wants it."""
    if progress is not None:
        progress(text)
