"""`lepton explore`: models, then Yosys, then nextpnr, each on what the one before found best."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host.errors import LeptonError
from host.explore import choice, store
from host.explore.choice import Candidate, Recommendation, Wishes
from host.explore.cycles import Evaluator
from host.explore.identity import compiler_hash, fingerprint, synthesis_hash
from host.explore.resources import Model, model
from host.explore.schedule import next_jobs
from host.explore.search import search
from host.explore.space import Space
from host.explore.store import Store
from host.explore.work import Job, carry_out
from host.farm import Farm
from host.measurement import Watcher
from host.qgraph import QGraph
from host.synth.devices import DEVICES, Device
from host.synth.tools import tool
from sim.build import hardware_hash

MODEL_SHARE = 0.25
"""Of the budget, at most, for the search by models."""


@dataclass(frozen=True)
class Question:
    """What is asked of the explorer."""

    graphs: Mapping[str, QGraph]
    """Variants of one model, the model itself first."""
    devices: tuple[str, ...]
    batch: int
    wishes: Wishes = field(default_factory=Wishes)
    fixed: Mapping[str, int] = field(default_factory=dict)
    budget_s: float = 600.0
    shapes: int = 240
    """Array shapes that the models look into."""
    workers: int | None = None
    scheduler: str | None = None
    accuracies: Mapping[str, float | None] = field(default_factory=dict)
    """Of the variants, where known; the choice is the user's."""

    def identity(self) -> dict[str, Any]:
        """What a kept search must agree in, so that its results are of this question."""
        return {
            "model": {name: fingerprint(graph) for name, graph in self.graphs.items()},
            "devices": list(self.devices),
            "batch": self.batch,
            "fields": dict(sorted(self.fixed.items())),
            "gateware": hardware_hash(),
            "compiler": compiler_hash(),
            "synthesis": synthesis_hash(),
        }


@dataclass
class Answer:
    """What is known when the explorer ends, however it ends."""

    question: Question
    candidates: list[Candidate]
    front: list[Candidate]
    recommendation: Recommendation
    evaluated: int
    """Configurations that the models were asked about in this run."""
    model_s: float
    """Seconds of one processor that it took, with the search itself and its storage."""
    errors: dict[str, dict[str, float]]
    """Of the resource model on the points held back, by family."""
    interrupted: bool = False

    @property
    def accuracies(self) -> str:
        """Those of the variants in words; nothing where none is known."""
        known = self.question.accuracies
        return ", ".join(f"{name} {a:.2%}" for name, a in known.items() if a is not None)


def explore(
    question: Question, path: Any, watch: Watcher, models: Mapping[str, Model] | None = None
) -> Answer:
    """The best configurations for a question; the search is kept at `path` and goes on from there.

    Ctrl-C ends it early, with what is known by then. `models` are for other synthesis results than
    those of the repository. Raises LeptonError where nothing can be found at all.
    """
    start = time.monotonic()
    deadline = start + question.budget_s
    devices = {name: DEVICES[name] for name in question.devices}
    space = _space(question, devices, models)
    _check(question, devices, space)
    found: list[Candidate] = []
    spent = 0.0
    interrupted = False
    with Store(path, question.identity()) as kept:
        try:
            until = start + question.budget_s * MODEL_SHARE if question.budget_s else 1e18
            begun = time.process_time()
            try:
                found = search(space, kept, question.wishes, question.shapes, until, watch)
            finally:
                spent = time.process_time() - begun
            if not found:
                raise LeptonError(_empty(space))
            _restore(found, kept)
            if time.monotonic() < deadline and question.budget_s:
                _build(question, found, kept, start, watch)
        except KeyboardInterrupt:
            interrupted = True
            if not found:
                found = _known(space, kept)
                _restore(found, kept)
            if not found:
                raise
    best = choice.front([c for c in found if question.wishes.excess(c) == 0])
    return Answer(
        question, found, best or choice.front(found), choice.recommend(found, question.wishes),
        space.evaluated, spent,
        {family: fitted.errors() for family, fitted in space.models.items()}, interrupted,
    )  # fmt: skip


def _space(
    question: Question, devices: dict[str, Device], models: Mapping[str, Model] | None
) -> Space:
    evaluators = {n: Evaluator(graph, question.batch) for n, graph in question.graphs.items()}
    families = {device.family for device in devices.values()}
    fitted = models or {family: model(family) for family in families}
    return Space(evaluators, fitted, devices, question.batch, question.fixed)


def _check(question: Question, devices: dict[str, Device], space: Space) -> None:
    """Refuses what cannot be met by any configuration, before any work."""
    lanes = question.fixed.get("lanes")
    if lanes and question.batch % lanes:
        raise LeptonError(
            f"lanes={lanes} and a batch of {question.batch} contradict each other: a batch is a "
            f"multiple of the lanes; use --batch {-(-question.batch // lanes) * lanes}"
        )
    wishes = question.wishes
    if wishes.max_latency_ms is not None:
        graph = next(iter(question.graphs.values()))
        size = 1
        for side in graph.input_shape:
            size *= side
        width = question.fixed.get("link_width", 32)
        cycles = -(-8 * size * question.batch // width)
        least = min(cycles / (FASTEST_MHZ[d.family] * 1e3) for d in devices.values())
        if wishes.max_latency_ms < least:
            raise LeptonError(
                f"a batch of {question.batch} and --max-latency {wishes.max_latency_ms:g} "
                f"contradict each other: its input alone takes {least:.2g} ms over the link"
            )
    if question.budget_s:
        tool("yosys")
        for family in {device.family for device in devices.values()}:
            tool(f"nextpnr-{family}")


FASTEST_MHZ = {"ice40": 100.0, "ecp5": 300.0}
"""What no core reaches; only to refuse demands that nothing can meet."""


def _empty(space: Space) -> str:
    if not space.refused:
        return (
            "the search space is empty: no array shape of it comes near what the part has; use a "
            "larger device or fewer --set"
        )
    why, count = max(space.refused.items(), key=lambda item: item[1])
    return (
        f"the search space is empty: none of {sum(space.refused.values()):,} configurations runs "
        f"the model, {count:,} because {why}"
    )


def _known(space: Space, kept: Store) -> list[Candidate]:
    """What the store has, without any search."""
    return search(space, kept, Wishes(), 0, 0.0, Watcher())


def _restore(found: list[Candidate], kept: Store) -> None:
    """Puts measured results of earlier runs to their candidates."""
    by_key = {c.point.key: c for c in found}
    for study in (store.SYNTHESES, store.PLACEMENTS):
        for trial in kept.trials(study):
            job, result = trial.user_attrs["job"], trial.user_attrs["result"]
            if job["key"] in by_key:
                _note(by_key[job["key"]], job["seed"], result)


def _note(candidate: Candidate, seed: int, result: dict[str, Any]) -> None:
    if "failure" in result:
        candidate.failure = result["failure"]
        return
    candidate.usage = result["usage"]
    if seed:
        candidate.mhz[seed] = result["mhz"]


def _build(
    question: Question, found: list[Candidate], kept: Store, start: float, watch: Watcher
) -> None:
    """Yosys and nextpnr on the promising ones, while there is time to begin something."""
    by_key = {c.point.key: c for c in found}
    with Farm(question.workers, question.scheduler) as farm:
        watch.begin("Synthesis, place and route")
        done = 0
        while True:
            share = (time.monotonic() - start) / question.budget_s
            jobs = next_jobs(found, question.wishes, share, farm.workers)
            if not jobs:
                return
            watch.note(f"{done} done, {' and '.join(_doing(job, by_key) for job in jobs[:2])}")
            for i, result in farm.map(carry_out, jobs):
                job = jobs[i]
                _note(by_key[job.key], job.seed, result)
                study = store.PLACEMENTS if job.seed else store.SYNTHESES
                value = result.get("mhz") if job.seed else result.get("usage", {}).get("luts")
                kept.keep(study, float(value or 0), {"job": vars(job), "result": result})
                done += 1
                watch.note(f"{done} done")


def _doing(job: Job, by_key: dict[str, Candidate]) -> str:
    what = f"seed {job.seed} of" if job.seed else "Yosys on"
    return f"{what} {choice.describe(by_key[job.key])}"
