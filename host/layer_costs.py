"""What each layer of a program costs: cycles, stalls, bytes moved, bytes per memory's bandwidth."""

from dataclasses import asdict, dataclass, replace

from host.driver import Counters
from host.program import Program
from host.traffic import traffic
from hw.config import Config

MEMORIES = {
    "weights": ("weight memory", ("weights",)),
    "scratchpad": ("scratchpad, reads", ("activations_read",)),
    "link": ("host link", ("link_in", "link_out")),
}
"""Title, and fields of `host.traffic.Traffic`, of what has a bandwidth of its own."""


@dataclass(frozen=True)
class LayerCost:
    """A layer's share in one image; what the hardware did not count is None."""

    name: str
    macs: int
    cycles: float | None = None
    utilization: float | None = None
    stalls: dict[str, float] | None = None
    """Cycles by cause."""
    traffic: dict[str, float] | None = None
    """Bytes, by the names of `host.traffic.Traffic`."""
    memory: dict[str, int] | None = None
    """Of the whole batch, by the names of `host.traffic.Memory`."""


def layer_costs(program: Program, counters: Counters) -> tuple[LayerCost, ...]:
    """Each layer's share in one image; without cycles where the hardware traced none."""
    spent = [layer.counters for layer in counters.layers] or [None] * len(program.layers)
    costs = []
    for info, moved, layer in zip(program.layers, traffic(program), spent, strict=True):
        cost = LayerCost(
            info.name,
            info.macs,
            traffic={name: value / program.batch for name, value in asdict(moved.traffic).items()},
            memory=asdict(moved.memory),
        )
        if layer is not None:
            cycles = layer["cycles"] / program.batch
            stalls = {n: v / program.batch for n, v in layer.items() if n.startswith("stall_")}
            used = info.macs / (cycles * program.config.pes) if cycles else 0.0
            cost = replace(cost, cycles=cycles, utilization=used, stalls=stalls)
        costs.append(cost)
    return tuple(costs)


def bandwidths(cfg: Config) -> dict[str, float]:
    """Bytes in a cycle at the most, of each of `MEMORIES`."""
    return {
        "weights": cfg.weight_ports * cfg.cols,
        "scratchpad": cfg.rows * cfg.lanes,
        "link": cfg.link_width / 8,
    }


def intensities(layer: LayerCost) -> dict[str, float]:
    """Multiply-accumulates for each byte of each of `MEMORIES` that the layer uses."""
    assert layer.traffic is not None
    moved = {name: sum(layer.traffic[f] for f in fields) for name, (_, fields) in MEMORIES.items()}
    return {name: layer.macs / count for name, count in moved.items() if count and layer.macs}
