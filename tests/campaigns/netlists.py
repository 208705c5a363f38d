"""``make netlists``: the named cores as Yosys made them for their parts run LeNet in simulation.

What `tests/e2e/test_netlists.py` does with small cores; these take minutes to compile.
"""

import argparse
import sys
import time

import numpy as np

import host
from host import data, models
from host.cost import predict
from host.quantization import quantize
from host.synth import device, synthesize
from hw.config import named
from sim import build
from tests.campaigns import records

CORES = {
    "up5k": ("up5k", "lenet-cifar10"),
    "tiny": ("up5k", "lenet5-mnist"),
    "ecp5-25k": ("ecp5-25k", "lenet-cifar10"),
}
"""Configurations, and for each a part and a model. `tiny` has what `up5k` has not, in the blocks of
its part: rows of multipliers instead of trees, and the parallel requantizer."""


def compare(config: str, images: int) -> dict:
    """Runs test images on a netlist; what differed from the reference and from the cost model."""
    cfg = named(config)
    part, model = CORES[config]
    graph = quantize(
        models.load(model), data.calibration(model), multiplier_width=cfg.multiplier_width
    )
    program = host.compile(graph, cfg, batch=cfg.lanes)
    pixels = data.normalize(data.sample(model).pixels[:images], model).numpy()
    expected = host.reference(graph, pixels)
    with host.Session(program, f"netlist:{part}") as session:
        found = session.run(pixels)
        assert session.counters is not None
        cycles = session.counters.cycles
    usage = synthesize(cfg, device(part), pins=False, tell=_tell).usage
    return {
        "config": config,
        "device": part,
        "model": model,
        "luts": usage.luts,
        "dsps": usage.dsps,
        "images": images,
        "bytes": int(expected.size),
        "different": int(np.count_nonzero(found != expected)),
        "cycles": cycles,
        "predicted_cycles": predict(program, images // cfg.lanes).cycles,
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Runs the cores wanted, writes benchmarks/netlists.json; 1 when something differed."""
    parser = argparse.ArgumentParser(prog="make netlists", description=__doc__)
    parser.add_argument("--only", choices=CORES, help="one configuration; other results stay")
    parser.add_argument("--images", type=int, default=32)
    given = parser.parse_args()
    kept = {row["config"]: row for row in records.read("netlists").get("cores", [])}
    for config in [given.only] if given.only else list(CORES):
        start = time.monotonic()
        row = compare(config, given.images)
        kept[config] = {
            **row,
            "seconds": round(time.monotonic() - start),
            "gateware": build.hardware_hash()[:12],
        }
        print(kept[config])
        cores = [kept[name] for name in CORES if name in kept]
        records.write("netlists", "make netlists", {"cores": cores})
    return int(any(r["different"] or r["cycles"] != r["predicted_cycles"] for r in kept.values()))


if __name__ == "__main__":
    sys.exit(main())
