"""What each optimization brings: from a plain core to all of them, for `lepton report`.

docs/compression.md defines the rows.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from host import catalog
from host.compiler import compile
from host.cost import predict
from host.errors import LeptonError
from host.evaluation import measure
from host.measurement import Experiment, Watcher
from host.qgraph import QGraph
from host.traffic import traffic
from hw.config import Config


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is switched on. The plain core has none of it."""

    lanes: bool = False
    """Images side by side, in lanes."""
    dataflow: bool = False
    """A batch in each lane, which reads the weights of Linear layers once; folding."""
    memory: bool = False
    """As many weight ports as the configuration has."""
    compression: bool = False
    """The compressed network."""


STEPS: tuple[tuple[str, str], ...] = (
    ("lanes", "model split over lanes"),
    ("dataflow", "dataflow"),
    ("memory", "memory"),
    ("compression", "compression"),
)
"""Fields of `Choice`, in the order in which they are added, and their titles."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row: one optimization on top of those above it, and by itself on the plain core."""

    title: str
    what: str
    cycles: float
    """Of an image, by the cost model, with all rows above."""
    alone: float
    """Of an image with this row's optimization only."""
    macs: int
    utilization: float
    pes: int
    memory: int
    """Bytes of on-chip memory that the program fills, of all lanes."""
    weight_bytes: float
    """Read from the weight memory for an image."""
    factor: float = 1.0
    """Cycles of the row above by those of this one."""
    factor_alone: float = 1.0
    """Cycles of the first row by `alone`."""
    total: float = 1.0
    """Cycles of the first row by those of this one."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a report is about: a network, its compressed form, the core with everything on it."""

    model: str
    compressed: str
    """A name or folder that `catalog.find` takes."""
    config: Config
    config_name: str
    batch: int
    """Images of all lanes together, where there is a batch."""

    def __post_init__(self) -> None:
        lanes = self.config.lanes
        if self.batch % lanes:
            raise LeptonError(
                f"a batch of {self.batch} does not fill {lanes} lanes evenly; use a batch of "
                f"{-(-self.batch // lanes) * lanes}"
            )
        if catalog.find(self.compressed).base != catalog.find(self.model).base:
            raise LeptonError(
                f"{self.compressed} was not made from {self.model}; name one that was with "
                "--compressed"
            )

    def core(self, choice: Choice) -> Config:
        """The configuration with only what is chosen."""
        lanes = self.config.lanes if choice.lanes else 1
        ports = self.config.weight_ports if choice.memory else 1
        return replace(self.config, lanes=lanes, weight_ports=ports)

    def images(self, choice: Choice) -> int:
        """Images run together."""
        lanes = self.config.lanes if choice.lanes else 1
        return lanes * (self.batch // self.config.lanes if choice.dataflow else 1)

    def texts(self) -> dict[str, str]:
        """What each row means here, in a few words."""
        each = self.batch // self.config.lanes
        return {
            "lanes": f"{self.config.lanes} lanes, an image in each",
            "dataflow": f"batches of {each} in each lane read weights once; folding",
            "memory": f"{self.config.weight_ports} weight ports",
            "compression": f"{self.compressed}",
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """The rows, and what the simulated core says of the last."""

    subject: Subject
    entries: tuple[Entry, ...]
    images: int
    rtl_cycles: float
    checked_bytes: int
    mismatched_bytes: int
    float_accuracy: float
    accuracy: float
    """Of the hardware with everything, on those images; the float figure is the small model's."""

    @property
    def total(self) -> float:
        """By how much everything together is faster, by the core's own counters."""
        return self.entries[0].cycles / self.rtl_cycles

    def record(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        subject = self.subject
        return {
            "model": subject.model,
            "compressed": subject.compressed,
            "config": subject.config_name,
            "fields": dict(subject.config.items()),
            "batch": subject.batch,
            "rows": [asdict(entry) for entry in self.entries],
            "images": self.images,
            "rtl_cycles": self.rtl_cycles,
            "total": self.total,
            "checked_bytes": self.checked_bytes,
            "mismatched_bytes": self.mismatched_bytes,
            "accuracy": self.accuracy,
        }


def report(subject: Subject, images: int | None = None, watch: Watcher | None = None) -> Report:
    """Predicts every row exactly, and runs the last one on the simulated core."""
    watch = watch or Watcher()
    watch.begin("Predicting", 2 * len(STEPS) + 1)
    width = subject.config.multiplier_width
    networks = [catalog.find(n).quantize(width) for n in (subject.model, subject.compressed)]
    texts = subject.texts()
    first = _entry(subject, networks, Choice(), "before", _plain(subject))
    entries, chosen = [first], {}
    for number, (name, title) in enumerate(STEPS, 1):
        chosen[name] = True
        together = _entry(subject, networks, Choice(**chosen), title, texts[name])
        alone = _entry(subject, networks, Choice(**{name: True}), title, texts[name])
        entries.append(
            replace(
                together,
                alone=alone.cycles,
                factor=entries[-1].cycles / together.cycles,
                factor_alone=first.cycles / alone.cycles,
                total=first.cycles / together.cycles,
            )
        )
        watch.advance(2 * number + 1)
    experiment = Experiment(
        model=subject.compressed, config=subject.config, config_name=subject.config_name,
        images=images, batch=subject.batch,
    )  # fmt: skip
    measured = measure(experiment, watch)
    hardware = measured.hardware
    assert hardware is not None
    return Report(
        subject=subject,
        entries=tuple(entries),
        images=measured.images,
        rtl_cycles=hardware.counters.cycles_per_image,
        checked_bytes=hardware.checked_bytes,
        mismatched_bytes=hardware.mismatched_bytes,
        float_accuracy=measured.float_accuracy,
        accuracy=hardware.accuracy,
    )


def _plain(subject: Subject) -> str:
    cfg = subject.config
    return f"{cfg.rows} x {cfg.cols}, one lane, one weight port, image by image"


def _entry(
    subject: Subject, networks: Sequence[QGraph], choice: Choice, title: str, what: str
) -> Entry:
    graph = networks[choice.compression]
    config, batch = subject.core(choice), subject.images(choice)
    program = compile(graph, config, batch=batch, folding=choice.dataflow)
    cycles = predict(program).cycles_per_image
    words = program.words.size + program.weights.size + program.table.size
    return Entry(
        title=title,
        what=what,
        cycles=cycles,
        alone=cycles,
        macs=graph.macs,
        utilization=graph.macs / (cycles * config.pes),
        pes=config.pes,
        memory=4 * words + program.scratchpad_used * config.lanes,
        weight_bytes=sum(layer.traffic.weights for layer in traffic(program)) / batch,
    )


def chart(found: Report) -> Figure:
    """Bars of cycles per image, row by row, and the factor that each brought."""
    subject, entries = found.subject, found.entries
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    names = [f"+ {e.title}" if i else e.title for i, e in enumerate(entries)]
    cycles = [e.cycles for e in entries]
    notes = [f"{cycles[0]:,.0f}"]
    notes += [f"{e.cycles:,.0f}   x {e.factor:.2f}" for e in entries[1:]]
    names.append("everything, RTL")
    cycles.append(found.rtl_cycles)
    notes.append(f"{found.rtl_cycles:,.0f}   x {found.total:.1f} in all")
    colors = ["#8c8c8c", *["#4477aa"] * (len(entries) - 1), "#228833"]
    places = range(len(names))
    axes.barh(places, cycles, color=colors, height=0.66)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    for place, value, note in zip(places, cycles, notes, strict=True):
        axes.annotate(note, (value, place), (5, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, 1.28 * max(cycles))
    axes.set_xlabel("cycles per image")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        f"{subject.model} on {subject.config_name} "
        f"({subject.config.rows} x {subject.config.cols}): what each optimization brings"
    )
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG."""
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise LeptonError(f"{path} cannot be written: {error.strerror}") from error
