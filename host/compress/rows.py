"""What a network is worth and costs, after a step: a row of the table of `lepton compress`."""

from dataclasses import asdict, dataclass
from typing import Any

from host.compiler import compile
from host.compress.exact import accuracy
from host.cost import predict
from host.data import Images
from host.qgraph import Conv2d, Linear, QGraph
from hw.config import Config


@dataclass(frozen=True, kw_only=True)
class Row:
    """After one step. Accuracies are shares of the test images, which no step has seen."""

    step: str
    what: str
    """What the step did, in a few words."""
    float_accuracy: float | None
    """None where the step has no float network of its own."""
    accuracy: float
    """Of the integers."""
    held_back: float
    """Of the integers, on the training images that were held back and decide all choices."""
    parameters: int
    bytes: int
    """Of weights (1) and biases (4)."""
    macs: int
    cycles: float
    """Of an image, by the cost model."""
    utilization: float
    pes: int
    memory: int
    """Bytes of on-chip memory that the program fills: words, weights, table, scratchpad."""
    rtl_cycles: float | None = None
    rtl_bytes: int | None = None
    """Output bytes of the simulated core that were compared with the reference."""
    rtl_mismatches: int | None = None

    def record(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return asdict(self)


WORTH = ("float", "integers", "held back", "parameters", "bytes", "MACs")
"""Columns on what a network is: accuracies on the test images, those held back, and sizes."""
COSTS = ("cycles", "utilization", "cycles, RTL", "PEs", "memory")
"""Columns on what it takes: cycles of an image by the cost model and in the simulated core."""


def cells(row: Row, columns: tuple[str, ...]) -> tuple[str, ...]:
    """A row's texts for these columns of `WORTH` and `COSTS`."""
    texts = {
        "float": "" if row.float_accuracy is None else f"{row.float_accuracy:.2%}",
        "integers": f"{row.accuracy:.2%}",
        "held back": f"{row.held_back:.2%}",
        "parameters": f"{row.parameters:,}",
        "bytes": f"{row.bytes:,}",
        "MACs": f"{row.macs:,}",
        "cycles": f"{row.cycles:,.0f}",
        "utilization": f"{row.utilization:.1%}",
        "cycles, RTL": "" if row.rtl_cycles is None else f"{row.rtl_cycles:,.0f}",
        "PEs": f"{row.pes:,}",
        "memory": f"{row.memory:,}",
    }
    return tuple(texts[name] for name in columns)


def row(
    step: str, what: str, graph: QGraph, dataset: str, tests: Images, held: Images, *,
    float_accuracy: float | None, config: Config, batch: int,
) -> Row:  # fmt: skip
    """Measures a network after a step."""
    program = compile(graph, config, batch=batch)
    counters = predict(program)
    weighted = [layer for layer in graph.layers if isinstance(layer, Conv2d | Linear)]
    weights, biases = (
        sum(getattr(layer, name).size for layer in weighted) for name in ("weight", "bias")
    )
    words = program.words.size + program.weights.size + program.table.size
    return Row(
        step=step,
        what=what,
        float_accuracy=float_accuracy,
        accuracy=accuracy(graph, tests, dataset),
        held_back=accuracy(graph, held, dataset),
        parameters=weights + biases,
        bytes=weights + 4 * biases,
        macs=graph.macs,
        cycles=counters.cycles_per_image,
        utilization=graph.macs / (counters.cycles_per_image * config.pes),
        pes=config.pes,
        memory=4 * words + program.scratchpad_used * config.lanes,
    )
