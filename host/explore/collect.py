"""Makes benchmarks/resources.json: what Yosys, and for some nextpnr, make of configurations drawn
over all that the explorer may propose, in the style of their device. Run it again to go on; what
is there is kept.

    python -m host.explore.collect ecp5 --points 48 --placed 12
    python -m host.explore.collect ice40 --points 48 --placed 16
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from host.errors import LeptonError
from host.explore.identity import synthesis_hash
from host.explore.resources import POINTS, VERSION, Model, read
from host.explore.space import acc_depths
from host.program import write_whole
from host.synth import DEVICES, synthesize
from host.synth.tools import SynthesisError
from hw.config import NAMED, Config
from hw.errors import ConfigError
from sim.build import hardware_hash

FAMILIES = {"ice40": ("up5k",), "ecp5": ("ecp5-85k", "ecp5-25k", "ecp5-85k")}
"""The devices of the points of each family, in turns."""
NAMED_POINTS = {
    "ice40": (("up5k", "up5k"),),
    "ecp5": (
        ("ecp5-25k", "ecp5-25k"), ("ecp5-85k", "ecp5-85k"), ("ecp5-85k", "default"),
        ("ecp5-25k", "tiny"),
    ),
}  # fmt: skip
"""Devices and configurations that have a name: others build them anyway, and the cache has them."""
LARGEST = {"up5k": 28, "ecp5-25k": 90, "ecp5-85k": 200}
"""PEs; with more, Yosys takes minutes, or the core is far larger than the part."""
SEED = 7


def drawn(family: str) -> Iterator[tuple[str, Config]]:
    """Devices and configurations without end, the same ones always: first some that have a name."""
    yield from ((device, NAMED[name]) for device, name in NAMED_POINTS[family])
    source = random.Random(f"{family} {SEED}")
    turn = 0
    small = family == "ice40"
    while True:
        device = FAMILIES[family][turn % len(FAMILIES[family])]
        try:
            cfg = replace(
                NAMED[device],
                rows=source.randint(4 if small else 2, 12 if small else 32),
                cols=source.randint(1 if small else 2, 4 if small else 16),
                lanes=source.choice([1, 1, 1, 2] if small else [1, 1, 2, 3, 4]),
                weight_ports=source.choice([1, 1, 2, 3, 4]),
                requantizers=source.choice([1, 1, 1, 2] if small else [1, 1, 1, 2, 3]),
                acc_width=source.choice([22, 23, 24, 26]),
                acc_depth=source.choice(acc_depths(NAMED[device].adder_tree)),
                result_depth=source.choice([16, 32, 64]),
                program_depth=source.randint(100, 1500),
                table_depth=source.randint(40, 300),
                weight_depth=source.choice([2048, 4096, 8192, 12288, 16384]),
                scratchpad_bytes=1 << source.randint(12, 15 if small else 16),
            )
        except ConfigError:
            continue
        # Small and middling cores more often: the largest take longest and say no more.
        if cfg.pes <= LARGEST[device] * source.random() ** 0.7:
            turn += 1
            yield device, cfg


def measure(device: str, cfg: Config) -> dict[str, Any]:
    """A point: what Yosys made of it, and how long that took."""
    start = time.monotonic()
    built = synthesize(cfg, DEVICES[device], tell=lambda _: None)
    used = built.usage.record()
    return {
        "device": device,
        "config": dict(cfg.items()),
        **{kind: used[kind] for kind in ("luts", "ffs", "dsps", "brams", "sprams")},
        "fits": not built.misfits(),
        "seconds": round(time.monotonic() - start, 1),
        **_made_by(),
    }


def _made_by() -> dict[str, str]:
    """What the cells of a point depend on besides its fields."""
    return {"gateware": hardware_hash()[:12], "synthesis": synthesis_hash()[:12]}


def place(point: dict[str, Any]) -> float:
    """Megahertz of the first seed."""
    device = DEVICES[point["device"]]
    built = synthesize(Config(**point["config"]), device, tell=lambda _: None)
    return built.place(1, tell=lambda _: None).frequencies[0]


def collect(family: str, points: int, placed: int, until: float, *, again: bool) -> None:
    """Adds points until there are so many, and places the first that fit.

    With `again`, points of a gateware or a synthesis that has changed since are left out, or made
    anew.
    """
    source = drawn(family)
    known = read(POINTS, family)
    if again:
        now = _made_by()
        known = [p for p in known if now == {name: p.get(name) for name in now}]
    for count in range(points):
        device, cfg = next(source)
        wanted = dict(cfg.items())
        same = [p for p in known if p["device"] == device and p["config"] == wanted]
        if same:
            continue
        if time.monotonic() > until:
            return
        try:
            point = measure(device, cfg)
        except SynthesisError as error:
            print(f"{count + 1} of {points}: {device} left out: {error}", flush=True)
            continue
        known = _save(family, [*known, point])
        print(
            f"{count + 1} of {points}: {device} {cfg.rows} x {cfg.cols} x {cfg.lanes}: "
            f"{point['luts']:,} LUTs, {point['seconds']} s",
            flush=True,
        )
    for point in [p for p in known if p["fits"]][:placed]:
        if point.get("mhz") or time.monotonic() > until:
            continue
        try:
            point["mhz"] = place(point)
        except SynthesisError as error:
            print(f"{point['device']} not placed: {error}", flush=True)
            point["fits"] = False
        _save(family, known)
        print(f"{point['device']} placed: {point.get('mhz')} MHz", flush=True)


def _save(family: str, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    others = [p for name in FAMILIES if name != family for p in read(POINTS, name)]
    # A point on a line of its own: the file is read as a table and compared by line.
    text = json.dumps({"version": VERSION}, indent=1)[:-2] + ',\n "points": [\n  '
    text += ",\n  ".join(json.dumps(p) for p in others + points) + "\n ]\n}\n"
    write_whole(POINTS, text.encode())
    return points


def main(arguments: list[str]) -> int:
    """Makes points and says how well the model that is fitted to them does on those held back."""
    parser = argparse.ArgumentParser(prog="python -m host.explore.collect", description=__doc__)
    parser.add_argument("family", choices=list(FAMILIES))
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--placed", type=int, default=12, help="of these also place and route")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing after that")
    parser.add_argument("--again", action="store_true", help="where gateware or synthesis changed")
    parser.add_argument("--refit", action="store_true", help="only show the errors")
    chosen = parser.parse_args(arguments)
    if not chosen.refit:
        until = time.monotonic() + 60 * chosen.minutes
        collect(chosen.family, chosen.points, chosen.placed, until, again=chosen.again)
    try:
        fitted = Model(chosen.family, read(POINTS, chosen.family))
    except LeptonError as error:
        print(error, file=sys.stderr)
        return 1
    for kind, error in fitted.errors().items():
        print(f"{chosen.family} {kind}: median error {error:.1%} on {fitted.held_back} held back")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
