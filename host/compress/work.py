"""The folder of a compression while it lasts: a stopped one goes on, a whole one takes its name."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from host import catalog
from host.checkpoint import Checkpoint
from host.errors import LeptonError
from host.program import write_whole

PLAN, STAGES, LOCK = "plan.json", "stages", "lock"


class Work:
    """Work towards the folder ``out``, in ``out.part`` beside it, by one process at a time.

    Use it as a context manager. ``plan`` is all that decides the result: work that was left there
    is gone on with where its plan was the same, and refused where it was another.
    """

    def __init__(self, out: Path, plan: dict[str, Any]) -> None:
        self.out, self.plan = out, plan
        self.folder = unfinished(out)
        self.stages = self.folder / STAGES
        self._lock: TextIO | None = None
        self.done = False
        """The same plan's model is in ``out`` already."""

    def __enter__(self) -> "Work":
        check_free(self.out)
        if (self.out / catalog.INFO).exists():
            info = catalog.read_info(self.out)
            if info.get("plan") != self.plan:
                raise LeptonError(
                    f"{self.out} holds a model made otherwise (`{info.get('command')}`); "
                    "remove it or name another folder with --out"
                )
            self.done = True
            return self
        try:
            self.stages.mkdir(parents=True, exist_ok=True)
            self._lock = (self.stages / LOCK).open("w")
        except OSError as error:
            raise LeptonError(f"{self.folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise LeptonError(
                f"{self.folder} is in use by another `lepton compress`; wait for it, or name "
                "another folder with --out"
            ) from None
        self._resume(self._lock)
        return self

    def _resume(self, lock: TextIO) -> None:
        path = self.folder / PLAN
        text = json.dumps(self.plan, indent=1) + "\n"
        if path.exists() and path.read_text() != text:
            lock.close()
            raise LeptonError(
                f"{self.folder} is what a stopped run of another plan left; remove it, or name "
                "another folder with --out"
            )
        write_whole(path, text.encode())

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        if self.folder.exists() and not any(self.stages.glob("*.pt")):
            # Nothing was done, such as when the core is too small: nothing is to be gone on with.
            shutil.rmtree(self.folder)
        self._lock.close()

    def checkpoint(self, name: str) -> Checkpoint:
        """Where a stage keeps its state."""
        return Checkpoint(self.stages / f"{name}.pt")

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``make`` gives, or gave when this stage was done before: tensors, plain values."""
        checkpoint = self.checkpoint(name)
        found = checkpoint.load()
        if found is None:
            found = make()
            checkpoint.save(found)
        return found

    def finish(self) -> None:
        """Gives the folder its name."""
        try:
            self.folder.rename(self.out)
        except OSError as error:
            raise LeptonError(f"{self.out} cannot be written: {error.strerror}") from error
        (self.out / PLAN).unlink()
        shutil.rmtree(self.out / STAGES)


def check_free(out: Path) -> None:
    """Refuses a place where there is something else than a compressed model."""
    if out.exists() and not out.is_dir():
        raise LeptonError(f"--out: {out} is not a folder; name one, or a new one")
    if out.is_dir() and any(out.iterdir()) and not (out / catalog.INFO).exists():
        raise LeptonError(f"--out: {out} holds other files; name an empty folder, or a new one")


def unfinished(out: Path) -> Path:
    """The folder of work towards ``out``."""
    return out.with_name(f"{out.name}.part")
