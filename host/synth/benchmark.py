"""Quality of results, tracked: what is built for benchmarks/synth.json and the README.

`lepton bench --synth` writes it. Everything is cached by content, so an interrupted run goes on
where it was, and what did not change costs nothing.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from host.errors import LeptonError
from host.synth.devices import DEVICES, device
from host.synth.flow import Tell, synthesize
from host.synth.measure import cycles_of
from host.synth.record import record
from hw.config import Config, named
from hw.rtlil import Scope

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "synth.json"

ALLOWED = 0.03
"""By how much LUTs and cycles may rise without new results."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A configuration, or a part of it, on a device."""

    config: str
    device: str
    fields: dict[str, int] = field(default_factory=dict)
    scope: Scope = Scope.CORE
    seeds: int = 0
    """0: synthesis alone."""
    model: str = "lenet-cifar10"
    batch: int = 1
    megahertz: float | None = None
    """Goal for the median."""
    counted: bool = False
    """Whether `make test` runs Yosys to see that LUTs have not risen; for the large ones, of which
    it would take minutes, only cycles are held."""
    mmacs: float | None = None
    """Goal for millions of useful multiply-accumulates per second."""

    @property
    def name(self) -> str:
        changed = "".join(f", {name}={value}" for name, value in self.fields.items())
        return f"{self.config}{changed}, {self.scope}, {self.device}"

    @property
    def built(self) -> Config:
        return named(self.config).with_fields(self.fields)

    def cycles(self) -> tuple[float | None, int]:
        """Cycles and multiply-accumulates of an image, of a core that runs the model."""
        if self.scope is not Scope.CORE:
            return None, 0
        cycles, macs, _ = cycles_of(self.model, self.built, self.batch)
        return cycles, macs

    def luts(self, tell: Tell = print) -> int:
        """Of the design as it is now, by Yosys alone."""
        return synthesize(self.built, device(self.device), self.scope, tell=tell).usage.luts


CASES = (
    Case(config="up5k", device="up5k", seeds=20, counted=True, megahertz=40, mmacs=540),
    Case(config="ecp5-25k", device="ecp5-25k", seeds=10, batch=16),
    Case(config="ecp5-85k", device="ecp5-85k", seeds=10, batch=24),
    Case(config="default", device="ecp5-85k", seeds=10, batch=16, megahertz=120),
    Case(
        config="default",
        device="ecp5-85k",
        scope=Scope.ARRAY,
        seeds=10,
        counted=True,
        megahertz=150,
    ),
)
"""What the README shows."""


def measured(case: Case, seeds: int | None = None, tell: Tell = print) -> dict:
    """Builds a case, with at most so many seeds; what benchmarks/synth.json has of it."""
    count = case.seeds if seeds is None else min(seeds, case.seeds)
    cycles, macs = case.cycles()
    built = synthesize(case.built, device(case.device), case.scope, tell=tell)
    fits = not built.misfits()
    placed = built.place(count, tell=tell) if count and fits else None
    found = record(case.built, case.scope, built, placed, cycles, macs)
    # A path of this machine's cache says nothing to others.
    found.pop("bitstream")
    frequencies = placed.frequencies if placed is not None else []
    return {"model": case.model, "batch": case.batch, **found, "seeds_mhz": frequencies}


def results(path: Path = RESULTS) -> dict[str, dict]:
    """What was measured, by name of the case; nothing where it never was.

    LeptonError for a file that holds no results.
    """
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(r, dict) for r in found.values()):
        raise LeptonError(f"{path} holds no results of lepton bench --synth; remove it")
    return found


def risen(row: dict, *, luts: float | None = None, cycles: float | None = None) -> list[str]:
    """What has risen by more than is allowed above a row of the results, a phrase for each."""
    now = {"luts": luts, "cycles_per_image": cycles}
    return [
        f"{name.replace('_', ' ')}: {value:,.0f}, "
        f"{value / row[name] - 1:+.1%} over {row[name]:,.0f}"
        for name, value in now.items()
        if value is not None and value > row[name] * (1 + ALLOWED)
    ]


SPEED = "fmax, MHz"
"""Lowest, median and highest of the seeds."""

HEAD = (
    "core", "device", "PEs", "LUTs", "FFs", "DSPs", "block RAMs", "SPRAMs",
    f"{SPEED}: min / median / max", "seeds", "goal", "MMAC/s",
)  # fmt: skip


def rows(found: dict[str, dict]) -> list[tuple[str, ...]]:
    """A row of `HEAD` for each case that was measured, in the order of `CASES`."""
    return [_row(case, found[case.name]) for case in CASES if case.name in found]


def _row(case: Case, r: dict) -> tuple[str, ...]:
    what = f"`{case.config}`" if case.scope is Scope.CORE else f"{case.scope} of `{case.config}`"
    available = r["available"]
    counts = [
        f"{r[name]:,}" + (f" of {available[name]:,}" if available[name] else "")
        for name in ("luts", "ffs", "dsps", "brams", "sprams")
    ]
    fmax, rate = r["fmax_mhz"], r["mmacs_per_s"]
    speed = "does not fit" if not r["fits"] else "-"
    if fmax is not None:
        speed = f"{fmax['min']:.1f} / {fmax['median']:.1f} / {fmax['max']:.1f}"
    goal = f">= {case.megahertz:g}" if case.megahertz else ""
    cfg = r["config"]
    useful = ""
    if rate is not None:
        useful = f"{rate:,.0f}" + (f" (>= {case.mmacs:g})" if case.mmacs else "")
    return (
        what, DEVICES[case.device].part, f"{cfg['rows'] * cfg['cols'] * cfg['lanes']:,}", *counts,
        speed, _seeds(case, r), goal, useful,
    )  # fmt: skip


def _seeds(case: Case, r: dict) -> str:
    """How many, of how many when there are fewer than the case asks for, and how many of the others
    were given up."""
    if not r["fits"]:
        return ""
    placed = r["fmax_mhz"]["seeds"] if r["fmax_mhz"] else 0
    given_up = len(r.get("unrouted_seeds", ()))
    counted = str(placed) if placed == case.seeds else f"{placed} of {case.seeds}"
    return f"{counted}, {given_up} not routed" if given_up else counted
