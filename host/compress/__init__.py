"""Compression: a trained model to a smaller one whose bytes the hardware computes.

Steps in order: prune (and recover), quantize under training; both learn from the float teacher if
asked to. Every choice is made on training images that are held back from training; the test images
are only measured. docs/compression.md says why it is done so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from host import catalog
from host.compress.plan import Plan
from host.compress.rows import Row
from host.compress.run import Run
from host.compress.work import Work, check_free, unfinished
from host.measurement import Watcher

__all__ = ["Compressed", "Plan", "Row", "check_free", "compress", "unfinished"]


@dataclass(frozen=True)
class Compressed:
    """A compressed model in a folder, which `catalog.find` takes, and how it came about."""

    folder: Path
    record: dict[str, Any]
    """What is in its ``model.json``."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """One after each step."""
        return tuple(Row(**row) for row in self.record["rows"])

    @property
    def missed(self) -> str | None:
        """What was asked for and not reached, in a sentence."""
        return self.record["missed"]

    @classmethod
    def read(cls, folder: Path) -> "Compressed":
        """The one in that folder; LeptonError for none."""
        return cls(folder, catalog.read_info(folder))


def compress(plan: Plan, out: Path, watch: Watcher | None = None) -> Compressed:
    """Does the steps of a plan and leaves the folder ``out``, whole or not at all.

    Stopped at any time, it keeps what is done in ``out.part``; the same call goes on from there, to
    the same bytes. If the same plan's model is there already, it is only read. LeptonError for what
    cannot be done.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        run = Run(plan, watch or Watcher())
        with Work(out, plan.record() | {"made_from": run.made_from()}) as work:
            if not work.done:
                run.into(work)
    return Compressed.read(out)
