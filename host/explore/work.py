"""What a worker does for the explorer: one run of Yosys, or one seed of nextpnr."""

import os
from dataclasses import dataclass
from typing import Any

from host.synth import Scope, device, synthesize
from host.synth.tools import SynthesisError, tool
from hw.config import Config


@dataclass(frozen=True)
class Job:
    """One piece of work; a seed of 0 is synthesis alone."""

    key: str
    """Of the point."""
    device: str
    fields: dict[str, int]
    seed: int = 0
    scope: str = Scope.CORE


def carry_out(job: Job) -> dict[str, Any]:
    """What came out: the cells, with a seed also the frequency; or why it failed.

    SynthesisError when a tool is missing here: that says nothing about the configuration.
    """
    tool("yosys")
    tool(f"nextpnr-{device(job.device).family}")
    try:
        built = synthesize(Config(**job.fields), device(job.device), Scope(job.scope), tell=_silent)
        found: dict[str, Any] = {"usage": built.usage.record(), "worker": os.getpid()}
        if job.seed:
            found["mhz"] = built.place(1, first=job.seed, tell=_silent).frequencies[0]
    except SynthesisError as error:
        return {"failure": str(error)}
    return found


def _silent(_: str) -> None:
    pass
