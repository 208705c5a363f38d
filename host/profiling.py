"""Where the cycles of a program go: the same columns measured on the core and predicted."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from host.activity import Activity
from host.cost import predict
from host.driver import Counters, Session
from host.errors import LeptonError
from host.layer_costs import LayerCost, intensities, layer_costs
from host.measurement import Watcher
from host.program import Program

Source = Literal["rtl", "cost"]

BATCHES = 3
"""Batches of a profile: the first fills the pipeline, the last is what the layers are taken of."""


@dataclass(frozen=True)
class Difference:
    """A counter that the cost model has otherwise than the core."""

    layer: str
    """Or "run", of the totals and time stamps."""
    counter: str
    rtl: int
    cost: int | None


@dataclass(frozen=True)
class Profile:
    """One program, from one or both sources."""

    program: Program
    counters: dict[Source, Counters]
    activity: Activity
    """Of the same run."""

    def layers(self, source: Source | None = None) -> tuple[LayerCost, ...]:
        """Of one image; by default of the core if it was asked for."""
        return layer_costs(self.program, self.counters[source or next(iter(self.counters))])

    def differences(self) -> list[Difference]:
        """Every figure in which the two sources differ; empty if there is only one."""
        if len(self.counters) < 2:
            return []
        rtl, cost = (_figures(self.counters[s]) for s in ("rtl", "cost"))
        return [
            Difference(*name, value, cost[name])
            for name, value in rtl.items()
            if value is not None and value != cost[name]
        ]

    def record(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        program = self.program
        sources = {}
        for source, counters in self.counters.items():
            offered = counters.cycles_per_image * program.config.pes
            sources[source] = {
                "cycles_per_image": counters.cycles_per_image,
                "latency_cycles": counters.latency,
                "utilization": program.macs / offered,
                "counters": counters.total,
                "layers": [asdict(c) | {"intensity": intensities(c)} for c in self.layers(source)],
            }
        return {
            "fields": dict(program.config.items()),
            "batch": program.batch,
            "batches": BATCHES,
            "macs_per_image": program.macs,
            "pes": program.config.pes,
            "sources": sources,
            "differences": [asdict(d) for d in self.differences()],
        }


def profile(
    program: Program, sources: tuple[Source, ...] = ("rtl", "cost"), watch: Watcher | None = None
) -> Profile:
    """Runs `BATCHES` batches on the core, predicts them, or both.

    The images are random: no cycle depends on them. LeptonError when the core has no trace of so
    many instructions, or counts no stalls.
    """
    watch = watch or Watcher()
    activity = Activity()
    found: dict[Source, Counters] = {}
    predicted = predict(program, BATCHES, activity)
    if "rtl" in sources:
        rows, depth = len(program.instruction_layers), program.config.trace_depth
        if not program.config.stall_counters:
            traced = f" --set trace_depth={rows}" if rows > depth else ""
            raise LeptonError(
                "the core counts cycles, but neither vectors nor stalls; use "
                f"--set stall_counters=1{traced}, or --source cost"
            )
        if rows > depth:
            raise LeptonError(
                f"the program has {rows} layer instructions and the core traces {depth}; use a "
                f"smaller batch, --set trace_depth={rows}, or --source cost"
            )
        watch.begin("Building the core")
        shape = (BATCHES * program.batch, *program.input_shape)
        images = np.random.default_rng(0).integers(-128, 128, shape, np.int8)
        with Session(program, progress=watch.note) as session:
            watch.begin("Streaming images through the core", len(images))
            session.run_layers(images, on_progress=watch.advance)
            assert session.counters is not None
            found["rtl"] = session.counters
    if "cost" in sources:
        found["cost"] = predicted
    return Profile(program, found, activity)


def _figures(counters: Counters) -> dict[tuple[str, str], int | None]:
    return {
        **{("run", name): value for name, value in counters.total.items()},
        **{("run", f"batch {i}"): int(stamp) for i, stamp in enumerate(counters.stamps)},
        ("run", "latency"): counters.latency,
        **{(c.name, name): n for c in counters.layers for name, n in c.counters.items()},
    }
