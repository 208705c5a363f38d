"""What a configuration takes of a device and how fast it may run there: estimates, fitted to the
synthesis results in benchmarks/resources.json. Nothing from here is ever a measurement.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import LeptonError
from host.explore import memories
from host.explore.style import style
from host.synth.devices import DEVICES, Device
from hw.config import NAMED, Config
from hw.multiplier import blocks_of_row
from hw.target import REQUANT_BLOCKS, multiplier_blocks

POINTS = Path(__file__).parents[2] / "benchmarks" / "resources.json"
VERSION = 1
"""Of that file."""
HELD_BACK = 4
"""Every fourth point of a family is not fitted to; the error is that of these."""


@dataclass(frozen=True)
class Estimate:
    """What a configuration is expected to take, and its frequency behind place and route."""

    luts: int
    ffs: int
    dsps: int
    brams: int
    sprams: int
    mhz: float

    def misfits(self, device: Device) -> list[str]:
        """Resources of which the device has too little."""
        return [name for name, there in device.available.items() if getattr(self, name) > there]


def array_blocks(cfg: Config, device: Device) -> tuple[int, int]:
    """Multiplier blocks of all arrays, and products that are made of LUTs instead."""
    row = blocks_of_row(cfg, device.target)
    rows = min(cfg.rows, multiplier_blocks(device.target, cfg.requantizers, cfg.lanes) // row)
    return cfg.lanes * rows * row, cfg.lanes * (cfg.rows - rows) * cfg.cols


def features(cfg: Config, device: Device, ram_luts: int) -> list[float]:
    """What LUTs and flip-flops may grow with."""
    lanes, rows, columns, acc = cfg.lanes, cfg.rows, cfg.cols, cfg.acc_width
    _, in_luts = array_blocks(cfg, device)
    turned = 8 * cfg.bank_bytes * max(1, (cfg.bank_bytes - 1).bit_length())
    requantizers = lanes * cfg.requantizers
    return [
        1,
        lanes,
        lanes * rows,
        lanes * columns,
        lanes * rows * columns,
        lanes * rows * columns * cfg.product_registers,
        in_luts,
        lanes * columns * acc,
        lanes * turned,
        lanes * rows * rows,
        requantizers,
        requantizers * acc,
        cfg.weight_ports * columns,
        cfg.weight_ports * cfg.load_cycles,
        cfg.requantizers,
        ram_luts,
        1 if cfg.trace_depth else 0,
    ]


def multipliers(cfg: Config, device: Device) -> int:
    """Multiplier blocks of arrays and requantizers."""
    array, _ = array_blocks(cfg, device)
    return array + REQUANT_BLOCKS[device.family] * cfg.requantizers * cfg.lanes


class Model:
    """Estimates for the devices of one family, fitted to points of it."""

    def __init__(self, family: str, points: Sequence[dict[str, Any]]) -> None:
        """LeptonError when there are too few points; those of cores of another style than that of
        their device's named configuration do not count."""
        points = [p for p in points if style(_config(p)) == style(NAMED[p["device"]])]
        if len(points) < 2 * HELD_BACK:
            raise LeptonError(
                f"{POINTS.name} has {len(points)} synthesis results of {family} for cores of this "
                "style, too few to estimate by; make more with: "
                f"python -m host.explore.collect {family}"
            )
        self.family = family
        fitted = [p for i, p in enumerate(points) if i % HELD_BACK != HELD_BACK - 1]
        self._held_back = points[HELD_BACK - 1 :: HELD_BACK]
        self.fitted_to = len(fitted)
        inputs = np.array([_features(p) for p in fitted], float)
        self._weights = {
            kind: _fit(inputs, np.array([p[kind] for p in fitted], float))
            for kind in ("luts", "ffs")
        }
        placed = [p for p in fitted if p.get("mhz")]
        self._speeds = {name: _speed(placed, DEVICES[name]) for name in DEVICES}

    def __call__(self, cfg: Config, device: Device) -> Estimate:
        """The estimate of a configuration on a device of the family."""
        ram = memories.blocks(cfg, device)
        inputs = np.array(features(cfg, device, ram.luts))
        luts = int(inputs @ self._weights["luts"])
        return Estimate(
            luts=luts,
            ffs=int(inputs @ self._weights["ffs"]),
            dsps=multipliers(cfg, device),
            brams=ram.brams,
            sprams=ram.sprams,
            mhz=self._speeds[device.name](luts),
        )

    def errors(self) -> dict[str, float]:
        """Median relative error of each figure on the points that were held back."""
        found: dict[str, list[float]] = {}
        for point in self._held_back:
            guess = self(_config(point), DEVICES[point["device"]])
            for kind in ("luts", "ffs", "dsps", "brams", "sprams", "mhz"):
                if point.get(kind):
                    off = abs(getattr(guess, kind) - point[kind]) / point[kind]
                    found.setdefault(kind, []).append(off)
        return {kind: statistics.median(values) for kind, values in found.items()}

    @property
    def held_back(self) -> int:
        """How many points the errors are of."""
        return len(self._held_back)


def _features(point: dict[str, Any]) -> list[float]:
    cfg, device = _config(point), DEVICES[point["device"]]
    return features(cfg, device, memories.blocks(cfg, device).luts)


def _config(point: dict[str, Any]) -> Config:
    return Config(**point["config"])


def _fit(inputs: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Weights, none negative, of the least sum of squared relative errors (Lawson and Hanson).

    A little of a ridge lets inputs that go together share the weight.
    """
    scale = inputs.max(axis=0)
    scale[scale == 0] = 1
    a = inputs / scale / found[:, None]
    count = a.shape[1]
    ridge = np.sqrt(1e-4 * np.square(a).sum() / count) * np.eye(count)
    a, target = np.vstack([a, ridge]), np.concatenate([np.ones(len(found)), np.zeros(count)])
    weights, used = np.zeros(count), np.zeros(count, bool)
    for _ in range(3 * count):
        gain = a.T @ (target - a @ weights)
        gain[used] = 0
        best = int(gain.argmax())
        if gain[best] <= 1e-9:
            break
        used[best] = True
        while True:
            tried = np.zeros(count)
            tried[used] = np.linalg.lstsq(a[:, used], target, rcond=None)[0]
            if (tried[used] > 0).all():
                break
            # As far towards it as no weight becomes negative; that one is out.
            bad = used & (tried <= 0)
            step = (weights[bad] / (weights[bad] - tried[bad])).min()
            weights = weights + step * (tried - weights)
            used &= weights > 1e-12
            weights[~used] = 0
        weights = tried
    return weights / scale


def _speed(points: Sequence[dict[str, Any]], device: Device):
    """Megahertz by LUTs: the line through the logarithms, level where they say nothing."""
    mine = [p for p in points if p["device"] == device.name] or [
        p for p in points if DEVICES[p["device"]].family == device.family
    ]
    if not mine:
        return lambda luts: device.megahertz
    x = np.log([p["luts"] for p in mine])
    y = np.log([p["mhz"] for p in mine])
    slope = 0.0
    if len(mine) > 2 and np.ptp(x) > 0.5:
        slope = min(0.0, float(np.polyfit(x, y, 1)[0]))
    level = float(np.mean(y) - slope * np.mean(x))
    return lambda luts: float(np.exp(level + slope * np.log(max(1, luts))))


@lru_cache
def model(family: str) -> Model:
    """Fitted to the results in the repository."""
    return Model(family, read(POINTS, family))


def read(path: Path, family: str) -> list[dict[str, Any]]:
    """The points of a family; LeptonError for a file that is damaged or of another version."""
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LeptonError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise LeptonError(
            f"{path} is of another version; make it again with: python -m host.explore.collect"
        )
    return [p for p in found["points"] if DEVICES[p["device"]].family == family]
