"""What is searched: array shapes, and for each the choices that are tried in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from host.errors import LeptonError
from host.explore import memories
from host.explore.cycles import Cycles, Evaluator
from host.explore.resources import Estimate, Model
from host.qgraph import Conv2d, QGraph
from host.synth.devices import Device
from hw.config import LIMITS, NAMED, Config
from hw.errors import ConfigError

MOST_ROWS, MOST_COLUMNS = 64, 48
PORTS = (1, 2, 3, 4, 5, 6, 8)
REQUANTIZERS = (1, 2, 3, 4)
ACC_DEPTHS = (128, 256, 512, 1024)
ACC_DEPTH_IN_LUTS = 48
"""ECP5 makes no more rows of LUTs, where they are as wide as LeNet's sums."""
RESULT_DEPTHS = (16, 32, 64)
DERIVED = ("weight_depth", "table_depth", "program_depth")
"""Set to what the program needs, or to the power of two above where the part has the blocks."""
SEARCHED = ("rows", "cols", "lanes", "weight_ports", "requantizers", "acc_depth", "result_depth")


def acc_depths(adder_tree: int) -> tuple[int, ...]:
    """Depths of the accumulators worth trying: an adder tree has a row of zeros behind them, and
    one less is a power of two with it."""
    if adder_tree:
        return tuple(depth - 1 for depth in ACC_DEPTHS)
    return (ACC_DEPTH_IN_LUTS, *ACC_DEPTHS)


@dataclass(frozen=True)
class Shape:
    """An array on a device for a variant of the model: what the search draws."""

    variant: str
    device: str
    rows: int
    cols: int
    lanes: int


@dataclass(frozen=True)
class Point:
    """A configuration for a variant of the model on a device, with what the models say of it."""

    variant: str
    device: str
    batch: int
    config: Config
    cycles: Cycles
    estimate: Estimate

    @property
    def key(self) -> str:
        """Names the point; equal for equal choices."""
        fields = ",".join(f"{name}={value}" for name, value in self.config.items())
        return f"{self.variant}|{self.device}|{self.batch}|{fields}"

    def images_per_s(self, mhz: float) -> float:
        """Throughput at a frequency."""
        return mhz * 1e6 / self.cycles.per_image

    def latency_ms(self, mhz: float) -> float:
        """From the first word of input to the last of the first batch's output."""
        return self.cycles.latency / (mhz * 1e3)


def base(device: str) -> Config:
    """What all fields are that the search leaves alone: those of the device's named configuration,
    so that the style of its core, which the resource model is fitted to, is the device's.

    There is no trace: it is for profiling, costs memory and makes nothing faster.
    """
    return replace(NAMED.get(device, Config()), trace_depth=0)


@dataclass
class Space:
    """The choices for one network at one batch size."""

    evaluators: Mapping[str, Evaluator]
    """By variant."""
    models: Mapping[str, Model]
    """By family."""
    devices: Mapping[str, Device]
    batch: int
    fixed: Mapping[str, int] = field(default_factory=dict)
    """Fields that the user has set."""
    evaluated: int = 0
    """Configurations that the models were asked about."""
    refused: dict[str, int] = field(default_factory=dict)
    """Why configurations do not run, and how many of each."""

    def __post_init__(self) -> None:
        for name in self.devices:
            base(name).with_fields(self.fixed)

    def values(self, name: str) -> list[int]:
        """What a field of a shape may be."""
        if name in self.fixed:
            return [self.fixed[name]]
        most = {"rows": MOST_ROWS, "cols": MOST_COLUMNS, "lanes": LIMITS["lanes"][1]}[name]
        return [n for n in range(1, most + 1) if name != "lanes" or self.batch % n == 0]

    def natural(self) -> Iterator[Shape]:
        """Shapes that the layers suggest: rows that divide a window's bytes, columns channels."""
        for variant, evaluator in self.evaluators.items():
            rows, columns = _natural(evaluator.graph)
            for device in self.devices:
                for r in [n for n in self.values("rows") if n in rows]:
                    for c in [n for n in self.values("cols") if n in columns]:
                        for lanes in self.values("lanes"):
                            yield Shape(variant, device, r, c, lanes)

    def named(self) -> Iterator[Point]:
        """The configurations that have a name, as they are, where they run the network."""
        for variant, evaluator in self.evaluators.items():
            for device in self.devices.values():
                for cfg in NAMED.values():
                    if not self.fixed.items() <= dict(cfg.items()).items():
                        continue
                    self.evaluated += 1
                    try:
                        cycles = evaluator(cfg)
                    except LeptonError as error:
                        self._refuse(str(error))
                        continue
                    guess = self.models[device.family](cfg, device)
                    yield Point(variant, device.name, self.batch, cfg, cycles, guess)

    def least(self, shape: Shape) -> Estimate | None:
        """What the smallest choice of a shape takes; None where there is none."""
        evaluator, device = self.evaluators[shape.variant], self.devices[shape.device]
        try:
            cfg = self._deep(shape.device, next(self._choices(shape)), evaluator)[-1]
        except (StopIteration, LeptonError, ConfigError) as error:
            self._refuse(str(error))
            return None
        # Of the memories only what the array itself has.
        small = {n: LIMITS[n][0] for n in DERIVED if n not in self.fixed}
        return self.models[device.family](replace(cfg, **small), device)

    def _refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1

    def points(self, shape: Shape) -> list[Point]:
        """All choices of a shape that run the network."""
        found: dict[Config, Point] = {}
        evaluator, device = self.evaluators[shape.variant], self.devices[shape.device]
        estimate = self.models[device.family]
        for choice in self._choices(shape):
            try:
                # Deep memories first; then those that the program needs.
                every = self._deep(shape.device, choice, evaluator)
            except (LeptonError, ConfigError) as error:
                self.evaluated += 1
                self._refuse(str(error))
                continue
            for deep in every:
                self.evaluated += 1
                try:
                    cycles = evaluator(deep)
                    cfg = self._derived(deep, cycles, device.family, for_nothing=False)
                    if cfg in found:
                        continue
                    guess = estimate(cfg, device)
                    if guess.brams > device.brams:
                        cfg = self._derived(deep, cycles, device.family, for_nothing=True)
                        guess = estimate(cfg, device)
                except (LeptonError, ConfigError) as error:
                    self._refuse(str(error))
                    continue
                found[cfg] = Point(shape.variant, device.name, self.batch, cfg, cycles, guess)
        return list(found.values())

    def _choices(self, shape: Shape) -> Iterator[dict[str, int]]:
        def options(name: str, values: tuple[int, ...], most: int | None = None) -> list[int]:
            if name in self.fixed:
                return [self.fixed[name]]
            return [v for v in values if most is None or v <= most]

        tree = self.fixed.get("adder_tree", base(shape.device).adder_tree)
        ports = options("weight_ports", PORTS, shape.rows)
        # More ports that need as many cycles are of no use; the same for requantizers.
        ports = list({-(-shape.rows // p): p for p in reversed(ports)}.values())
        requantizers = options("requantizers", REQUANTIZERS, shape.cols)
        requantizers = list({-(-shape.cols // q): q for q in reversed(requantizers)}.values())
        for weight_ports in ports:
            for some in requantizers:
                for acc_depth in options("acc_depth", acc_depths(tree)):
                    for result_depth in options("result_depth", RESULT_DEPTHS):
                        yield {
                            **self.fixed, "rows": shape.rows, "cols": shape.cols,
                            "lanes": shape.lanes, "weight_ports": weight_ports,
                            "requantizers": some, "acc_depth": acc_depth,
                            "result_depth": result_depth,
                        }  # fmt: skip

    def _deep(self, device: str, choice: dict[str, int], evaluator: Evaluator) -> list[Config]:
        """The choice with memories that hold any program and the least accumulator width, for each
        size of the scratchpad, the largest first."""
        most = {name: LIMITS[name][1] for name in DERIVED if name not in self.fixed}
        cfg = replace(base(device), **{**most, **choice})
        if "acc_width" not in self.fixed:
            cfg = replace(cfg, acc_width=max(evaluator.acc_width, cfg.sum_width))
        if "scratchpad_bytes" in self.fixed:
            return [cfg]
        return [replace(cfg, scratchpad_bytes=size) for size in evaluator.scratchpads(cfg)]

    def _derived(self, cfg: Config, cycles: Cycles, family: str, *, for_nothing: bool) -> Config:
        """With memories that hold the program, raised to powers of two: see `memories.raised`."""
        needs = (
            memories.weights(cfg.weight_ports, cfg.cols, cycles.weight_words),
            memories.table(cfg.requantizers, cycles.table_words),
            memories.program(cycles.program_words),
        )
        depths = [memories.raised(need, family, for_nothing=for_nothing) for need in needs]
        given = zip(DERIVED, depths, strict=True)
        return replace(
            cfg, **{n: max(depth, LIMITS[n][0]) for n, depth in given if n not in self.fixed}
        )


def _natural(graph: QGraph) -> tuple[set[int], set[int]]:
    """Rows and columns that fit a layer of the network without rest, or two channels' worth."""
    rows, columns = set(), set()
    for layer in graph.layers:
        if isinstance(layer, Conv2d):
            channels, _, kernel = layer.weight.shape[1], *layer.weight.shape[2:]
            window = channels * kernel
            rows |= {n for n in range(3, window + 1) if window % n == 0}
            out = layer.weight.shape[0]
            columns |= {n for n in range(2, 2 * out + 1) if out % n == 0 or n % out == 0}
    return rows or {8, 16, 32}, columns or {4, 8, 16}
