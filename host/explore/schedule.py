"""What is worth the next run of Yosys or nextpnr."""

from collections.abc import Callable

from host.explore import choice
from host.explore.choice import ESTIMATED, PLACED, SYNTHESIZED, Candidate, Wishes
from host.explore.work import Job
from host.synth.devices import DEVICES
from hw.config import NAMED

YOSYS_SHARE, PLACE_SHARE = 0.5, 0.8
"""Of the budget, until which Yosys runs, and then first seeds; behind that more seeds."""
FILL = {"ice40": 1.0, "ecp5": 0.9}
"""Of a part's LUTs, that an estimate may take: it may be off, and on a large part the last are hard
to route. On the small one there is no core far below."""
FIRST_SEEDS, SEEDS = 4, 5
"""Candidates that are placed at all, and seeds of the best of them."""


def next_jobs(found: list[Candidate], wishes: Wishes, share: float, workers: int) -> list[Job]:
    """What to do next, one job for each worker, when that share of the budget is spent."""
    if share >= 1:
        return []
    meeting = [c for c in found if wishes.excess(c) == 0]
    promising = [c for c in meeting if c.state != ESTIMATED or _roomy(c)] or sorted(
        (c for c in found if not c.failure), key=wishes.excess
    )[:8]
    bar = [(c, 1) for c in promising if _own(c) and c.state == SYNTHESIZED and c.fits]
    stages: list[Callable[[list[Candidate], Wishes], list[tuple[Candidate, int]]]]
    stages = [_to_synthesize, _to_place, _to_repeat]
    if any(c.state == SYNTHESIZED for c in promising) and share >= YOSYS_SHARE:
        stages = [_to_place, _to_repeat, _to_synthesize]
    if any(c.state == PLACED for c in promising) and share >= PLACE_SHARE:
        stages = [_to_repeat, _to_place, _to_synthesize]
    for stage in stages:
        # What is to be beaten is placed before anything else is looked at.
        wanted = (bar or stage(promising, wishes))[:workers]
        if wanted:
            return [
                Job(c.point.key, c.point.device, dict(c.point.config.items()), seed)
                for c, seed in wanted
            ]
    return []


def _roomy(candidate: Candidate) -> bool:
    there = DEVICES[candidate.point.device].available["luts"]
    full = candidate.resource("luts") > FILL[DEVICES[candidate.point.device].family] * there
    return not full or _own(candidate)


def _own(candidate: Candidate) -> bool:
    """Whether it is the configuration that has the device's name."""
    return candidate.point.config == NAMED.get(candidate.point.device)


def _to_synthesize(candidates: list[Candidate], wishes: Wishes) -> list[tuple[Candidate, int]]:
    """The one to beat; the best untried ones, and between them what is best in something else."""
    own = [c for c in candidates if _own(c)]
    if any(c.state == ESTIMATED for c in own):
        return [(c, 0) for c in own if c.state == ESTIMATED]
    front = [c for c in choice.front(candidates) or candidates if c.state == ESTIMATED]
    by_aim = sorted(front, key=wishes.rank)
    by_latency = sorted(front, key=lambda c: c.latency_ms)
    by_size = sorted(front, key=lambda c: c.resource("luts") / c.images_per_s)
    picked: dict[str, Candidate] = {}
    for a, b, c in zip(by_aim, by_latency, by_size, strict=True):
        picked |= {x.point.key: x for x in (a, b, a, c)}
        if len(picked) > 16:
            break
    tried = sum(c.state != ESTIMATED for c in candidates)
    # The aim comes first, and again after the two others have had one each.
    order = list(picked.values())
    return [(c, 0) for c in (order if tried < 3 else by_aim)]


def _to_place(candidates: list[Candidate], wishes: Wishes) -> list[tuple[Candidate, int]]:
    placed = sum(c.state == PLACED for c in candidates)
    ready = sorted((c for c in candidates if c.state == SYNTHESIZED and c.fits), key=wishes.rank)
    return [(c, 1) for c in ready[: max(0, FIRST_SEEDS - placed)]]


def _to_repeat(candidates: list[Candidate], wishes: Wishes) -> list[tuple[Candidate, int]]:
    placed = sorted((c for c in candidates if c.state == PLACED), key=wishes.rank)
    return [(c, s) for c in placed[:1] for s in range(1, SEEDS + 1) if s not in c.mhz]
