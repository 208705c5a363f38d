"""How fast the simulator runs a whole network, in processes side by side; every byte compared."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from host import catalog, data
from host.compiler import compile
from host.evaluation import compare
from host.farm import Farm
from host.integer_reference import reference
from host.measurement import Watcher
from host.workers import run_layers
from hw.config import Config
from sim import build


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Many images through the simulated core: those that ship, again and again."""

    model: str
    images: int
    batch: int
    processes: int

    @property
    def name(self) -> str:
        return f"{self.model}, {self.images:,} images in {self.processes} processes"


def measure(throughput: Throughput, config: Config, watch: Watcher) -> dict[str, Any]:
    """Streams and compares; plain values for JSON.

    `wall_s` is from starting the workers to their end, without building the core and without the
    reference.
    """
    model = catalog.find(throughput.model)
    graph = model.quantize(config.multiplier_width)
    program = compile(graph, config, batch=throughput.batch)
    shipped = data.normalize(data.sample(model.dataset).pixels, model.dataset).numpy()
    values = graph.input.quantize(shipped)
    expected = {graph.layers[-1].name: np.asarray(reference(graph, values, dequantize=False))}
    which = np.arange(throughput.images) % len(values)
    watch.begin("Building the core")
    build.library(config)
    watch.begin("Streaming images through the workers' cores", throughput.images)
    start = time.perf_counter()
    with Farm(throughput.processes) as farm:
        found, counters = run_layers(program, values[which], farm, watch.advance)
    wall_s = time.perf_counter() - start
    wanted = {name: expected[name][which] for name in found}
    checked, wrong, _ = compare(found, wanted)
    return {
        "name": throughput.name,
        "fields": dict(config.items()),
        "processes": throughput.processes,
        "images": throughput.images,
        "wall_s": wall_s,
        "simulated_cycles": counters.cycles,
        "checked_bytes": checked,
        "mismatched_bytes": wrong,
    }
