"""The figures of the README: what is measured for them, on the simulated core, and by whom else.

`lepton bench` writes benchmarks/results.json. Peers' figures stand, with their source, in
benchmarks/peers.json.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host import product, throughput
from host.evaluation import measure
from host.measurement import Experiment, Watcher
from host.product import Product
from host.throughput import Throughput
from hw.config import Config, named

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PEERS = ROOT / "benchmarks" / "peers.json"


@dataclass(frozen=True, kw_only=True)
class Core:
    """A configuration: a named one with some fields changed."""

    config: str = "default"
    fields: dict[str, int] = field(default_factory=dict)

    @property
    def built(self) -> Config:
        return named(self.config).with_fields(self.fields)


@dataclass(frozen=True, kw_only=True)
class Case(Core):
    """A model on a configuration, on the images that ship: at least 16 batches of them."""

    model: str = "lenet-cifar10"
    batch: int = 1
    goal: int | None = None
    """Cycles per image that are wanted, at most."""
    latency_goal: int | None = None

    @property
    def name(self) -> str:
        return f"{self.model}, {describe(dict(self.built.items()))}, batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class ProductCase(Core):
    """A matrix product by itself."""

    product: Product
    goal: int

    @property
    def name(self) -> str:
        return f"{self.product.name}, {describe(dict(self.built.items()))}"


@dataclass(frozen=True, kw_only=True)
class ThroughputCase(Core):
    """How long the simulator takes; its bytes are the same everywhere, its time is not."""

    throughput: Throughput
    goal_s: float

    @property
    def name(self) -> str:
        return f"simulating {self.throughput.name}, {describe(dict(self.built.items()))}"


PORTS = {"weight_ports": 4}
SQUARE = {"rows": 8, "cols": 8}

CASES = (
    Case(model="lenet5-mnist"),
    Case(model="lenet5-fashion"),
    Case(),
    Case(fields=PORTS, goal=10_000, latency_goal=10_800),
    Case(batch=16, goal=7_700),
    Case(config="wide", fields=PORTS, goal=6_300),
    Case(config="wide", batch=16, goal=5_300),
    Case(fields=SQUARE | PORTS, goal=14_200),
    # 92% of two and of four arrays.
    Case(batch=16, fields={"lanes": 2} | PORTS, goal=3_935),
    Case(batch=16, fields={"lanes": 4} | PORTS, goal=1_967),
    # Few channels on many columns: results are folded.
    Case(model="lenet5-mnist", config="wide", batch=16),
)

# With as many requantizers as columns, lest the results of the last slice wait for theirs.
WHOLE = {"requantizers": 16}

PRODUCTS = tuple(
    ProductCase(
        config="wide", fields=WHOLE, product=Product(depth=64, side=8, convolution=c), goal=1_150
    )
    for c in (False, True)
)


THROUGHPUTS = tuple(
    ThroughputCase(
        throughput=Throughput(model=model, images=10_000, batch=16, processes=2), goal_s=90
    )
    for model in ("lenet5-mnist", "lenet-cifar10")
)

ALL = (*CASES, *PRODUCTS, *THROUGHPUTS)
"""In the order of the file."""


def describe(fields: dict[str, int]) -> str:
    """The array, and what else its cycles depend on where that is not one."""
    text = f"{fields['rows']} x {fields['cols']}"
    for name, unit in (("lanes", "lanes"), ("weight_ports", "ports")):
        if fields.get(name, 1) > 1:
            text += f", {fields[name]} {unit}"
    if fields["requantizers"] > 1:
        text += f", {fields['requantizers']} requantizers"
    return text


def measured(case: Case | ProductCase | ThroughputCase, watch: Watcher) -> dict[str, Any]:
    """Measures a case; plain values for JSON."""
    if isinstance(case, ProductCase):
        watch.begin("Building the core and multiplying")
        return product.measure(case.product, case.built)
    if isinstance(case, ThroughputCase):
        return throughput.measure(case.throughput, case.built, watch)
    experiment = Experiment(
        model=case.model, config=case.built, config_name=case.config, batch=case.batch
    )
    return measure(experiment, watch).record()


def results() -> dict[str, dict[str, Any]]:
    """What is on file, by the names of the cases, in their order; empty if nothing was measured."""
    if not RESULTS.exists():
        return {}
    return json.loads(RESULTS.read_text())


def rows(found: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table beside the peers, `HEAD` above it, of the cases that have a goal or a peer."""
    peers = json.loads(PEERS.read_text())
    table = []
    for case in (*CASES, *PRODUCTS):
        r = found.get(case.name)
        if r is None or case.goal is None:
            continue
        same = {"rows": r["fields"]["rows"], "cols": r["fields"]["cols"]}
        if isinstance(case, ProductCase):
            batch, cycles = "", r["window_cycles"]
            used, latency = r["fed"] / cycles, ""
            there = [p for p in peers["product"] if same == p["array"]]
        else:
            batch, cycles, used = str(case.batch), r["cycles_per_image"], r["utilization"]
            latency = f"{r['latency_cycles']:,}"
            latency += f" (<= {case.latency_goal:,})" if case.latency_goal else ""
            alone = case.built.lanes == 1
            there = [
                p
                for p in peers["network"]
                if alone and (p["batch"], p["array"]) == (case.batch, same)
            ]
        wanted = f"<= {case.goal:,}"
        what = case.product.name if isinstance(case, ProductCase) else case.model
        others = "; ".join(f"{p['name']} {p['cycles']:,}" + _share(p) for p in there)
        core = describe(r["fields"])
        table.append((what, core, batch, f"{cycles:,.0f}", wanted, f"{used:.1%}", latency, others))
    return table


HEAD = (
    "what", "array", "batch", "cycles per image", "goal", "utilization", "latency", "peers",
)  # fmt: skip


def throughput_rows(found: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """The table of how long simulating took, `THROUGHPUT_HEAD` above it."""
    table = []
    for case in THROUGHPUTS:
        r = found.get(case.name)
        if r is None:
            continue
        each = r["simulated_cycles"] / r["wall_s"] / r["processes"]
        table.append(
            (
                case.throughput.model, describe(r["fields"]), f"{r['images']:,}",
                str(r["processes"]), f"{r['wall_s']:.0f} s", f"<= {case.goal_s:g} s",
                f"{each:,.0f}",
            )
        )  # fmt: skip
    return table


THROUGHPUT_HEAD = (
    "model", "array", "images", "processes", "time", "goal", "cycles per second and process",
)  # fmt: skip


def _share(peer: dict[str, Any]) -> str:
    return f" ({peer['utilization']:.1%})" if "utilization" in peer else ""
