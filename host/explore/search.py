"""The search by models: Optuna draws array shapes, and of each all choices are evaluated."""

import random
import time
from dataclasses import astuple, fields
from typing import Any

from host.explore import choice, store
from host.explore.choice import Candidate, Wishes
from host.explore.cycles import Cycles
from host.explore.space import Point, Shape, Space
from host.explore.store import Store
from host.measurement import Watcher
from hw.config import Config

SEED = 6
POPULATION = 24
FIRST = 120
"""Shapes that the layers suggest, before the sampler draws its own."""
HOPELESS = 1.5
"""A shape whose smallest choice needs so much more than the part has is not looked into."""
NAMES = tuple(f.name for f in fields(Cycles))


def search(
    space: Space, kept: Store, wishes: Wishes, shapes: int, until: float, watch: Watcher
) -> list[Candidate]:
    """Candidates of so many shapes: of each those that no other one of it beats; and the named.

    What the store has is taken from there; what is found goes there, shape by shape.
    """
    import optuna

    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=SEED)
    study = optuna.create_study(directions=store.DIRECTIONS[store.SHAPES], sampler=sampler)
    found = [Candidate(point) for point in space.named()]
    known: set[Shape] = set()
    before = kept.trials(store.SHAPES)
    study.add_trials(before)
    for trial in before:
        shape = Shape(**trial.params)
        if shape not in known:
            known.add(shape)
            found += [Candidate(_point(space, shape, row)) for row in trial.user_attrs["points"]]
    distributions = _distributions(space)
    waiting = [s for s in _first(space) if s not in known]
    watch.begin("Searching by the models", shapes)
    misses = 0
    while len(known) < shapes and time.monotonic() < until and misses < 20 * POPULATION:
        params = vars(waiting.pop()) if waiting else None
        if params is not None:
            study.enqueue_trial(params)
        trial = study.ask(distributions)
        shape = Shape(**trial.params)
        if shape in known:
            # The sampler may draw a shape twice; telling it again costs nothing.
            misses += 1
            study.tell(trial, _again(study, trial.params))
            continue
        misses = 0
        known.add(shape)
        mine = evaluate(space, shape)
        values = _values(mine, wishes, space, shape)
        study.tell(trial, values)
        best = choice.front(mine)
        rows = [_row(c.point) for c in best]
        kept.add(store.SHAPES, values, {"points": rows}, trial.params, distributions)
        found += best
        watch.advance(len(known))
    return found


def evaluate(space: Space, shape: Shape) -> list[Candidate]:
    """All choices of a shape, unless it is far too large for the part."""
    device = space.devices[shape.device]
    least = space.least(shape)
    if least is None:
        return []
    there = device.available
    if any(getattr(least, n) > HOPELESS * count for n, count in there.items() if n != "brams"):
        return []
    return [Candidate(point) for point in space.points(shape)]


def _values(candidates: list[Candidate], wishes: Wishes, space: Space, shape: Shape) -> list[float]:
    """The best of each kind that a shape offers; worse than any where nothing fits."""
    good = [c for c in candidates if c.fits]
    if good:
        return [
            max(c.images_per_s for c in good),
            min(c.latency_ms for c in good),
            float(min(c.resource("luts") for c in good)),
        ]
    # The larger, the worse, so that the sampler finds its way back.
    size = float(shape.rows * shape.cols * shape.lanes)
    return [-size, 1e6 + size, 1e6 + size]


def _again(study: Any, params: dict[str, Any]) -> list[float]:
    return next(
        t.values for t in study.get_trials(deepcopy=False) if t.params == params and t.values
    )


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    def numbers(name: str) -> Any:
        values = space.values(name)
        if name == "lanes" or len(values) == 1:
            return CategoricalDistribution(values)
        return IntDistribution(values[0], values[-1])

    return {
        "variant": CategoricalDistribution(list(space.evaluators)),
        "device": CategoricalDistribution(list(space.devices)),
        **{name: numbers(name) for name in ("rows", "cols", "lanes")},
    }


def _first(space: Space) -> list[Shape]:
    """Some of the natural shapes, the same ones always."""
    shapes = list(space.natural())
    random.Random(SEED).shuffle(shapes)
    return shapes[:FIRST]


def _row(point: Point) -> list[Any]:
    return [list(point.config.words()), list(astuple(point.cycles))]


def _point(space: Space, shape: Shape, row: list[Any]) -> Point:
    words, cycles = row
    cfg = Config(**{f.name: value for f, value in zip(fields(Config), words, strict=True)})
    device = space.devices[shape.device]
    estimate = space.models[device.family](cfg, device)
    return Point(
        shape.variant, shape.device, space.batch, cfg,
        Cycles(**dict(zip(NAMES, cycles, strict=True))), estimate,
    )  # fmt: skip
