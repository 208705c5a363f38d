"""What `lepton run` measures: the choices that go in, the figures that come out."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.driver import Counters
from host.errors import LeptonError
from host.layer_costs import LayerCost
from host.transports.targets import check_target
from hw.config import Config


class Watcher:
    """Is told how a measurement goes. This one keeps silent; subclass it to show."""

    def begin(self, stage: str, total: int | None = None) -> None:
        """The next stage begins, of `total` images where it counts them."""

    def advance(self, done: int) -> None:
        """So many images of this stage are done."""

    def note(self, text: str) -> None:
        """What the stage is doing."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to measure."""

    model: str
    config: Config
    config_name: str
    images: int | None = None
    """None means as many as ship."""
    batch: int = 1
    target: str = "sim"
    """sim, reference, or uart:PORT for hardware at a serial port."""
    baud: int | None = None
    layers: bool = False
    """Compare the output of every step too; sending them costs cycles."""
    waves: Path | None = None
    folder: Path | None = None
    """Where the dataset lies; None takes the shipped images if they are enough."""
    workers: int | None = None
    """Processes with a simulated core each; None is this one alone."""
    scheduler: str | None = None
    """Of Dask, whose workers then do it."""

    def __post_init__(self) -> None:
        check_target(self.target, self.baud, also=("reference",))
        if self.images is not None and self.images < 1:
            raise LeptonError(f"{self.images} images asked for; at least 1 is needed")
        for option, given in (("waves", self.waves), ("layers", self.layers)):
            if given and self.target == "reference":
                raise LeptonError(f"{option} are of the hardware; use the target sim")
        if self.workers is not None or self.scheduler is not None:
            if self.target != "sim":
                raise LeptonError(
                    f"--workers and --scheduler are of simulated cores, not of {self.target}; "
                    "leave them out, or use the target sim"
                )
            if self.waves:
                raise LeptonError("waves are of one core; leave out --workers and --scheduler")


@dataclass(frozen=True)
class Difference:
    """The first byte that is not what the reference says: first image, then first layer."""

    image: int
    layer: str
    position: tuple[int, ...]
    """Index into the layer's output, (channel, row, column) or (feature,)."""
    got: int
    expected: int

    def __str__(self) -> str:
        where = ", ".join(map(str, self.position))
        return (
            f"image {self.image}, layer {self.layer}, position ({where}): got {self.got}, "
            f"expected {self.expected}"
        )


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the simulated core answered, how many cycles it took, and how long that was."""

    accuracy: float
    checked_bytes: int
    mismatched_bytes: int
    difference: Difference | None
    counters: Counters
    wall_s: float
    """From the first word to the last; without building and without loading the program."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What came out."""

    experiment: Experiment
    dataset: str
    source: str
    """Where the images are from."""
    images: int
    macs: int
    """Of one image, as the model asks for."""
    float_accuracy: float
    reference_accuracy: float
    layers: tuple[LayerCost, ...]
    hardware: Hardware | None
    """None when the target was the reference."""

    @property
    def utilization(self) -> float | None:
        """Share of all multiply-accumulates of the run that the model asked for."""
        if self.hardware is None:
            return None
        offered = self.hardware.counters.cycles_per_image * self.experiment.config.pes
        return self.macs / offered

    def record(self) -> dict[str, Any]:
        """Everything as plain values for JSON; null is what the target does not have."""
        x, hardware = self.experiment, self.hardware
        counters = hardware.counters if hardware else None
        difference = hardware.difference if hardware else None
        return {
            "model": x.model,
            "dataset": self.dataset,
            "source": self.source,
            "images": self.images,
            "batch": x.batch,
            "config": x.config_name,
            "fields": dict(x.config.items()),
            "target": x.target,
            "float_accuracy": self.float_accuracy,
            "reference_accuracy": self.reference_accuracy,
            "accuracy": hardware.accuracy if hardware else self.reference_accuracy,
            "checked_bytes": hardware.checked_bytes if hardware else 0,
            "mismatched_bytes": hardware.mismatched_bytes if hardware else 0,
            "first_difference": asdict(difference) if difference else None,
            "cycles_per_image": counters.cycles_per_image if counters else None,
            "latency_cycles": counters.latency if counters else None,
            "macs_per_image": self.macs,
            "pes": x.config.pes,
            "utilization": self.utilization,
            "simulated_cycles": counters.cycles if counters else None,
            "wall_s": hardware.wall_s if hardware else None,
            "images_per_s": self.images / hardware.wall_s if hardware else None,
            "layers": [asdict(layer) for layer in self.layers],
        }
