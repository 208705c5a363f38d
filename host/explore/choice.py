"""Of many candidates: which are better than each other, which one the user wants, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from host.explore.space import Point
from host.synth.devices import DEVICES

PRICE_CLASSES = {"up5k": 1, "ecp5-25k": 2, "ecp5-85k": 3}
"""The dearer the part the higher; each is several times the one below."""
ESTIMATED, SYNTHESIZED, PLACED = "estimated", "synthesized", "placed"


@dataclass
class Candidate:
    """A point with what was measured of it so far."""

    point: Point
    usage: dict[str, int] | None = None
    """What Yosys counted."""
    mhz: dict[int, float] = field(default_factory=dict)
    """What place and route reached, by seed."""
    failure: str | None = None
    """Why it cannot be built, if that turned out."""

    @property
    def state(self) -> str:
        """How far its figures are measured."""
        if self.mhz:
            return PLACED
        return SYNTHESIZED if self.usage else ESTIMATED

    def resource(self, name: str) -> int:
        """What it takes: measured where it is, else estimated."""
        return self.usage[name] if self.usage else getattr(self.point.estimate, name)

    @property
    def frequency(self) -> float:
        """Of the best seed; before place and route the estimate."""
        return max(self.mhz.values()) if self.mhz else self.point.estimate.mhz

    @property
    def images_per_s(self) -> float:
        return self.point.images_per_s(self.frequency)

    @property
    def latency_ms(self) -> float:
        return self.point.latency_ms(self.frequency)

    @property
    def price_class(self) -> int:
        return PRICE_CLASSES[self.point.device]

    @property
    def fits(self) -> bool:
        """Whether the device has enough of everything."""
        there = DEVICES[self.point.device].available
        return not self.failure and all(self.resource(n) <= count for n, count in there.items())

    def record(self) -> dict[str, Any]:
        """Plain values; what is not measured is null there, and never an estimate."""
        point, guess = self.point, self.point.estimate
        measured = self.usage or {}
        kinds = ("luts", "ffs", "dsps", "brams", "sprams")
        return {
            "variant": point.variant,
            "device": point.device,
            "price_class": self.price_class,
            "batch": point.batch,
            "state": self.state,
            "fields": dict(point.config.items()),
            "cycles_per_image": point.cycles.per_image,
            "latency_cycles": point.cycles.latency,
            **{f"{kind}_estimated": getattr(guess, kind) for kind in kinds},
            **{f"{kind}_measured": measured.get(kind) for kind in kinds},
            "mhz_estimated": round(guess.mhz, 1),
            "mhz_measured": max(self.mhz.values()) if self.mhz else None,
            "mhz_by_seed": {str(seed): mhz for seed, mhz in sorted(self.mhz.items())},
            "images_per_s_estimated": round(point.images_per_s(guess.mhz), 1),
            "images_per_s_measured": round(self.images_per_s, 1) if self.mhz else None,
            "latency_ms_estimated": round(point.latency_ms(guess.mhz), 4),
            "latency_ms_measured": round(self.latency_ms, 4) if self.mhz else None,
            "command": command(point),
        }


@dataclass(frozen=True)
class Wishes:
    """What the user demands."""

    max_latency_ms: float | None = None
    max_luts: int | None = None

    def excess(self, candidate: Candidate) -> float:
        """By how much, as a share, the candidate misses the worst of the demands; 0 if none."""
        there = DEVICES[candidate.point.device].available
        over = [candidate.resource(n) / count - 1 for n, count in there.items() if count]
        over += [1.0 for n, count in there.items() if not count and candidate.resource(n)]
        if self.max_latency_ms is not None:
            over.append(candidate.latency_ms / self.max_latency_ms - 1)
        if self.max_luts is not None:
            over.append(candidate.resource("luts") / self.max_luts - 1)
        return max(0.0, *over)

    def rank(self, candidate: Candidate) -> tuple:
        """Smaller is better, of those that meet the demands.

        With a latency to meet the cheapest part that does it, then throughput; without one
        throughput alone.
        """
        cheap = candidate.price_class if self.max_latency_ms is not None else 0
        return cheap, -candidate.images_per_s

    def sentence(self) -> str:
        """The demands in words."""
        said = []
        if self.max_latency_ms is not None:
            said.append(f"at most {self.max_latency_ms:g} ms")
        if self.max_luts is not None:
            said.append(f"at most {self.max_luts:,} LUTs")
        return " and ".join(said) or "what the part has"


OBJECTIVES = ("latency", "throughput", "luts", "dsps", "brams", "price")


def objectives(candidate: Candidate) -> tuple[float, ...]:
    """What the front weighs against each other; smaller is better in each."""
    return (
        candidate.latency_ms,
        -candidate.images_per_s,
        candidate.resource("luts"),
        candidate.resource("dsps"),
        candidate.resource("brams"),
        candidate.price_class,
    )


def front(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that fit and that no other one beats in everything, by throughput, the best first.

    Where two are equal in everything, the first stays.
    """
    ranked = sorted(
        ((objectives(c), i, c) for i, c in enumerate(candidates) if c.fits), key=lambda x: x[:2]
    )
    kept: list[tuple[tuple[float, ...], Candidate]] = []
    for mine, _, candidate in ranked:
        # In this order nobody later can beat an earlier one.
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) for other, _ in kept):
            kept.append((mine, candidate))
    return sorted((c for _, c in kept), key=lambda c: -c.images_per_s)


@dataclass(frozen=True)
class Recommendation:
    """The one candidate that fits the wishes best, or comes nearest, and why."""

    candidate: Candidate | None
    meets: bool
    sentence: str


def recommend(candidates: Sequence[Candidate], wishes: Wishes) -> Recommendation:
    """The best of those that are measured furthest; else the nearest one."""
    there = [c for c in candidates if not c.failure]
    if not there:
        return Recommendation(None, False, "nothing was found that runs the model")
    meeting = [c for c in there if wishes.excess(c) == 0]
    for state in (PLACED, SYNTHESIZED, ESTIMATED):
        mine = [c for c in meeting if c.state == state]
        if mine:
            best = min(mine, key=wishes.rank)
            return Recommendation(best, True, _reason(best, wishes, len(mine)))
    nearest = min(there, key=lambda c: (wishes.excess(c), wishes.rank(c)))
    return Recommendation(nearest, False, _nearest(nearest, wishes))


def describe(candidate: Candidate) -> str:
    """The configuration in a few words."""
    cfg = candidate.point.config
    lanes = f", {cfg.lanes} lanes" if cfg.lanes > 1 else ""
    ports = f", {cfg.weight_ports} weight ports" if cfg.weight_ports > 1 else ""
    return (
        f"{candidate.point.variant} on {cfg.rows} x {cfg.cols}{lanes}{ports} on "
        f"{candidate.point.device}"
    )


HOW = {
    PLACED: "at the frequency that place and route reached",
    SYNTHESIZED: "at an estimated frequency, its cells counted by Yosys",
    ESTIMATED: "all estimated, nothing of it built yet",
}


def _figures(c: Candidate) -> str:
    return f"{c.images_per_s:,.0f} images/s, {c.latency_ms:.3g} ms, {c.resource('luts'):,} LUTs"


def _reason(best: Candidate, wishes: Wishes, among: int) -> str:
    aim = "the most images per second"
    if wishes.max_latency_ms is not None:
        aim = "the cheapest part that is fast enough, and the most images per second on it"
    return (
        f"{describe(best)}: {aim} with {wishes.sentence()}, of {among:,} candidates; "
        f"{_figures(best)}, {HOW[best.state]}."
    )


def _nearest(nearest: Candidate, wishes: Wishes) -> str:
    device = DEVICES[nearest.point.device]
    misses = [
        f"{nearest.resource(n):,} {n} of {count:,}"
        for n, count in device.available.items() if nearest.resource(n) > count
    ]  # fmt: skip
    if wishes.max_latency_ms is not None and nearest.latency_ms > wishes.max_latency_ms:
        misses.append(f"{nearest.latency_ms:.3g} ms for {wishes.max_latency_ms:g}")
    if wishes.max_luts is not None and nearest.resource("luts") > wishes.max_luts:
        misses.append(f"{nearest.resource('luts'):,} LUTs for {wishes.max_luts:,}")
    return (
        f"Nothing meets {wishes.sentence()}; the nearest is {describe(nearest)}, which needs "
        f"{', '.join(misses)} ({HOW[nearest.state]})."
    )


def command(point: Point) -> str:
    """What builds the point, on a shell."""
    default = dict(type(point.config)().items())
    changed = [f"--set {n}={v}" for n, v in point.config.items() if v != default[n]]
    return " ".join(
        (
            "lepton synth", f"--device {point.device}", *changed, f"--model {point.variant}",
            f"--batch {point.batch}", "--seeds 5",
        )
    )  # fmt: skip
