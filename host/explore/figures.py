"""Makes benchmarks/explore.json: what the explorer finds for lenet-cifar10 on each device, beside
the configurations that had a name before there was one. Run it again to go on.

    python -m host.explore.figures ecp5-85k --minutes 30
    python -m host.explore.figures all --minutes 60          # each device, and what was before
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from host import catalog
from host.cli import options
from host.compiler import compile
from host.cost import predict
from host.errors import LeptonError
from host.explore import choice, memories, report
from host.explore.charts import picture
from host.explore.choice import Candidate, Wishes
from host.explore.cycles import Evaluator
from host.explore.resources import model as fitted
from host.explore.run import Answer, Question, explore
from host.measurement import Watcher
from host.program import write_whole
from host.synth import DEVICES, benchmark, synthesize
from host.synth.tools import SynthesisError
from hw.config import named
from sim.cache import cache_folder

RESULTS = Path(__file__).parents[2] / "benchmarks" / "explore.json"
PICTURE = Path(__file__).parents[2] / "docs" / "explored.png"
VERSION = 1
MODEL = "lenet-cifar10"
BATCHES = {case.device: case.batch for case in benchmark.CASES if case.config == case.device}
"""Images of a batch on each device, as its named configuration is measured with."""
BEFORE = ("tiny", "default", "wide")
"""The configurations that had a name before the explorer."""
SEEDS = 1
"""Of a named configuration."""
SHAPES = 240


def results() -> dict[str, Any]:
    """What is stored; nothing where there is no file."""
    if not RESULTS.exists():
        return {"version": VERSION, "devices": {}}
    found = json.loads(RESULTS.read_text())
    if found.get("version") != VERSION:
        raise LeptonError(f"{RESULTS} is of another version; remove it to measure anew")
    return found


def measure_named(device_name: str, name: str) -> dict[str, Any]:
    """What a named configuration reaches on a device, or why it does not."""
    graph, device = catalog.find(MODEL).quantize(16), DEVICES[device_name]
    cfg = named(name)
    found: dict[str, Any] = {"cycles_per_image": None, "mhz": None, "images_per_s": None}
    try:
        cycles = predict(compile(graph, cfg, batch=BATCHES[device_name])).cycles_per_image
    except LeptonError as error:
        return found | {"why_not": str(error)}
    found["cycles_per_image"] = cycles
    ram = memories.blocks(cfg, device)
    if ram.brams > device.brams:
        # That is counted, not estimated, and Yosys would take minutes to say the same.
        why = f"this does not fit {device_name}: it needs {ram.brams:,} brams of {device.brams:,}"
        return found | {"brams": ram.brams, "why_not": why}
    built = synthesize(cfg, device, tell=lambda _: None)
    found |= built.usage.record()
    try:
        mhz = max(built.place(SEEDS, tell=lambda _: None).frequencies)
    except SynthesisError as error:
        return found | {"why_not": str(error)}
    return found | {"mhz": mhz, "images_per_s": round(mhz * 1e6 / cycles, 1)}


def measure_built(
    device_name: str, model: str, batch: int, fields: dict[str, int], seeds: range
) -> dict[str, Any]:
    """What the configuration of the device's name with other fields reaches for a model, at the
    fastest of these seeds; there may be others that do not route."""
    device, cfg = DEVICES[device_name], named(device_name).with_fields(fields)
    graph = catalog.find(model).quantize(cfg.multiplier_width)
    cycles = predict(compile(graph, cfg, batch=batch)).cycles_per_image
    built = synthesize(cfg, device, tell=lambda _: None)
    placed = built.place(len(seeds), first=seeds.start, tell=lambda text: print(f"  {text}"))
    routed = [seed for seed in seeds if seed not in placed.unrouted]
    mhz = max(placed.frequencies)
    return {
        "variant": model,
        "batch": batch,
        "fields": dict(cfg.items()),
        "cycles_per_image": cycles,
        **built.usage.record(),
        "mhz": mhz,
        "mhz_by_seed": dict(zip(map(str, routed), placed.frequencies, strict=True)),
        "unrouted_seeds": list(placed.unrouted),
        "images_per_s": round(mhz * 1e6 / cycles, 1),
    }


def measure(name: str, question: Question) -> dict[str, Any]:
    """The explorer's answer, whose cycles the compiler and the whole cost model confirm."""
    answer = asked(name, question)
    best = answer.recommendation.candidate
    if best is None:
        raise LeptonError(answer.recommendation.sentence)
    confirm(best, question.graphs[best.point.variant])
    return {
        "recommended": best.record(),
        "reason": answer.recommendation.sentence,
        "evaluated": answer.evaluated,
        "model_seconds": round(answer.model_s, 2),
    }


def of_device(
    device_name: str, minutes: float, variants: list[str], max_luts: int | None = None
) -> tuple[str, Question]:
    """What to build for `MODEL`, or one of those variants of it, on a device; with a name."""
    graphs = {name: catalog.find(name).quantize(16) for name in (MODEL, *variants)}
    name = f"{device_name}-{'-'.join(Path(v).name for v in variants) or 'plain'}"
    return name, Question(
        graphs, (device_name,), BATCHES[device_name], Wishes(max_luts=max_luts),
        budget_s=60 * minutes, shapes=SHAPES,
    )  # fmt: skip


def asked(name: str, question: Question) -> Answer:
    """The explorer's answer, with its report in the cache by that name; goes on where it was."""
    folder = cache_folder() / "explore" / name
    folder.mkdir(parents=True, exist_ok=True)
    answer = explore(question, folder / "search.db", Said())
    report.write(answer, folder)
    return answer


def draw(variants: list[str]) -> None:
    """What is known of all devices in one picture, for the README."""
    answers = [asked(*of_device(device, 0, variants)) for device in DEVICES]
    candidates = [c for answer in answers for c in answer.candidates]
    joined = replace(
        answers[0],
        question=replace(answers[0].question, devices=tuple(DEVICES)),
        candidates=candidates,
        front=[c for answer in answers for c in answer.front],
        recommendation=choice.recommend(candidates, Wishes()),
    )
    batches = ", ".join(f"{batch} on {device}" for device, batch in BATCHES.items())
    write_whole(PICTURE, picture(joined, f"{MODEL}, batch {batches}"))


def confirm(candidate: Candidate, graph: Any) -> None:
    """The whole compiler agrees with the cycles that the search was led by."""
    point = candidate.point
    counters = predict(compile(graph, point.config, batch=point.batch))
    if (counters.cycles_per_image, counters.latency) != (
        point.cycles.per_image, point.cycles.latency,
    ):  # fmt: skip
        raise LeptonError(
            f"the explorer has {point.cycles.per_image} cycles per image and the compiler "
            f"{counters.cycles_per_image}"
        )


def speed(device_name: str) -> float:
    """Distinct configurations per second of one processor, cycles and resources."""
    graph, device = catalog.find(MODEL).quantize(16), DEVICES[device_name]
    batch = BATCHES[device_name]
    import random
    import time

    from host.explore.space import Shape, Space

    space = Space({MODEL: Evaluator(graph, batch)}, {device.family: fitted(device.family)},
                  {device.name: device}, batch)  # fmt: skip
    source = random.Random(1)
    start, stop = time.process_time(), 0.0
    while stop - start < 10:
        space.points(
            Shape(MODEL, device.name, source.randint(3, 32), source.randint(2, 24),
                  source.choice([1, 2, 4]))
        )  # fmt: skip
        stop = time.process_time()
    return space.evaluated / (stop - start)


class Said(Watcher):
    """Tells in lines."""

    def begin(self, stage: str, total: int | None = None) -> None:
        print(f"{stage} ...", flush=True)

    def note(self, text: str) -> None:
        print(f"  {text}", flush=True)


def main(arguments: list[str]) -> int:
    """Measures one device, or the speed of the models."""
    parser = argparse.ArgumentParser(prog="python -m host.explore.figures", description=__doc__)
    parser.add_argument("device", choices=[*DEVICES, "all"])
    parser.add_argument("--minutes", type=float, default=30, help="for each device")
    parser.add_argument("--max-luts", type=int, help="no larger cores: they take less time")
    parser.add_argument("--variant", action="append", default=[])
    parser.add_argument("--built", metavar="MODEL", help="no search: one core for that model")
    parser.add_argument("--batch", type=int, default=16, help="of that")
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE of that")
    parser.add_argument("--first-seed", type=int, default=1, help="of that")
    parser.add_argument("--seeds", type=int, default=1, help="of that")
    parser.add_argument("--before", action="store_true", help="only the named configurations")
    parser.add_argument("--draw", action="store_true", help="only docs/explored.png")
    parser.add_argument("--speed", action="store_true", help="only how fast the models are")
    chosen = parser.parse_args(arguments)
    if chosen.draw:
        draw(chosen.variant)
        return 0
    if chosen.device == "all":
        for device in DEVICES:
            wanted = of_device(device, chosen.minutes, chosen.variant, chosen.max_luts)
            _store(device, measure(*wanted))
        for device in DEVICES:
            _store_named(device)
        draw(chosen.variant)
        return 0
    stored = results()
    if chosen.speed:
        stored["configurations_per_s"] = round(speed(chosen.device))
        print(f"{stored['configurations_per_s']:,} configurations per second and processor")
        _write(stored)
    elif chosen.built:
        seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
        row = measure_built(
            chosen.device, chosen.built, chosen.batch, options.fixed_fields(chosen.set), seeds
        )
        known = stored["devices"].get(chosen.device, {}).get("built", {})
        _store(chosen.device, {"built": {**known, chosen.built: row}})
    elif chosen.before:
        _store_named(chosen.device)
    else:
        wanted = of_device(chosen.device, chosen.minutes, chosen.variant, chosen.max_luts)
        _store(chosen.device, measure(*wanted))
    return 0


def _store_named(device: str) -> None:
    """Measures the named configurations on a device; each is kept at once, and not done again."""
    for name in BEFORE:
        known = results()["devices"].get(device, {}).get("before", {})
        if name not in known:
            _store(device, {"before": {**known, name: measure_named(device, name)}})


def _store(device: str, found: dict[str, Any]) -> None:
    stored = results()
    stored["devices"].setdefault(device, {}).update(found)
    print(json.dumps(found, indent=2), flush=True)
    _write(stored)


def _write(stored: dict[str, Any]) -> None:
    write_whole(RESULTS, (json.dumps(stored, indent=2) + "\n").encode())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LeptonError as refused:
        sys.exit(f"figures: {refused}")
