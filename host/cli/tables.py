"""The tables with which `lepton run`, `cost` and `profile` end."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from host.layer_costs import LayerCost
from host.measurement import Hardware, Measurement
from host.profiling import Profile

STALLS = {
    "stall_weights": "weights",
    "stall_input": "input",
    "stall_dependency": "earlier layer",
    "stall_post": "results",
    "stall_output": "output",
    "stall_program": "program",
}
"""What the array waited for, by counter."""


def show(measurement: Measurement, *, to_stderr: bool) -> None:
    """Prints the summary, the layers and, if bytes differ, the first of them."""
    console = Console(stderr=to_stderr, highlight=False)
    console.print(_summary(measurement))
    hardware = measurement.hardware
    if hardware is None:
        return
    if any(layer.cycles is not None for layer in measurement.layers):
        console.print(layers(measurement.layers))
    else:
        console.print("No figures for each layer: the program is longer than trace_depth.")
    if measurement.experiment.layers:
        console.print("Cycles include sending every layer's output, for --layers.")
    if hardware.difference:
        console.print(f"[red]First difference:[/] {hardware.difference}", soft_wrap=True)


def _summary(measurement: Measurement) -> Table:
    x, hardware = measurement.experiment, measurement.hardware
    table = Table(
        title=f"{x.model}, {measurement.dataset}", title_justify="left", show_header=False
    )
    table.add_column()
    table.add_column(justify="right")
    rows = {
        "images": f"{measurement.images:,} ({measurement.source})",
        "accuracy, float model": f"{measurement.float_accuracy:.2%}",
        "accuracy, integer reference": f"{measurement.reference_accuracy:.2%}",
    }
    if hardware is not None:
        rows |= _of_hardware(measurement, hardware)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _of_hardware(measurement: Measurement, hardware: Hardware) -> dict[str, str]:
    x, counters = measurement.experiment, hardware.counters
    color = "red" if hardware.mismatched_bytes else "green"
    return {
        "accuracy, hardware": f"{hardware.accuracy:.2%}",
        "bytes compared": f"{hardware.checked_bytes:,}",
        "bytes different": f"[{color}]{hardware.mismatched_bytes:,}[/]",
        "core": f"{x.config_name}: {x.config.rows} x {x.config.cols} array, batch {x.batch}",
        "cycles per image": f"{counters.cycles_per_image:,.0f}",
        **({} if counters.latency is None else {"latency": f"{counters.latency:,} cycles"}),
        "multiply-accumulates per image": f"{measurement.macs:,}",
        "utilization": f"{measurement.utilization:.1%}",
        "simulated images per second": f"{measurement.images / hardware.wall_s:,.1f}",
        "simulated cycles per second": f"{counters.cycles / hardware.wall_s:,.0f}",
    }


def layers(costs: Sequence[LayerCost]) -> Table:
    """Cycles of one image in the last batch; what the array waited for, in percent of them."""
    stalls = [s for s in STALLS if any(c.stalls and round(_share(c, s), 3) for c in costs)]
    table = Table(
        title="Layers, per image; where the array waited", title_justify="left",
    )  # fmt: skip
    table.add_column("layer")
    for name in ("MACs", "cycles", "used", *(STALLS[stall] for stall in stalls)):
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(
            cost.name,
            f"{cost.macs:,}",
            f"{cost.cycles:,.0f}",
            f"{cost.utilization:.1%}",
            *(f"{_share(cost, stall):.1%}" for stall in stalls),
        )
    return table


def _share(cost: LayerCost, stall: str) -> float:
    return cost.stalls[stall] / cost.cycles if cost.stalls and cost.cycles else 0.0


BYTES = {
    "weights": "weights",
    "weights_useful": "useful",
    "activations_read": "activations in",
    "activations_written": "out",
    "accumulators_read": "sums in",
    "accumulators_written": "out",
}
"""Columns of bytes, by the names of `host.traffic.Traffic`."""

MORE_BYTES = {"table": "table", "link_in": "link in", "link_out": "out"}

MEMORY = {
    "weight_words": "weight words",
    "accumulators": "accumulators",
    "scratchpad_bytes": "scratchpad bytes",
}
"""Columns of memory, by the names of `host.traffic.Memory`."""


def show_profile(found: Profile, title: str, console: Console) -> None:
    """Prints cycles and stalls, bytes and memory of each layer, and how the sources compare."""
    costs = found.layers()
    console.print(layers(costs))
    for table in moved(costs):
        console.print(table)
    for source, counters in found.counters.items():
        used = found.program.macs / (counters.cycles_per_image * found.program.config.pes)
        console.print(
            f"{title}, {source}: {counters.cycles_per_image:,.0f} cycles per image, "
            f"{used:.1%} utilization, latency of the first batch {counters.latency:,} cycles"
        )
    if len(found.counters) == 2:
        differences = found.differences()
        console.print(f"Counters in which the cost model differs from the core: {len(differences)}")
        for d in differences[:10]:
            console.print(f"[red]{d.layer}, {d.counter}: core {d.rtl:,}, model {d.cost:,}[/]")


def moved(costs: Sequence[LayerCost]) -> Iterator[Table]:
    """Bytes of one image and the memory that the layer needs: two tables, for 80 columns."""
    first, second = (
        Table(title=title, title_justify="left")
        for title in ("Bytes moved, per image", "More bytes moved, and memory needed")
    )
    for table, names in ((first, BYTES), (second, MORE_BYTES | MEMORY)):
        table.add_column("layer", no_wrap=True)
        for name in names.values():
            table.add_column(name, justify="right")
    for cost in costs:
        assert cost.traffic is not None
        assert cost.memory is not None
        first.add_row(cost.name, *(f"{cost.traffic[name]:,.0f}" for name in BYTES))
        second.add_row(
            cost.name,
            *(f"{cost.traffic[name]:,.0f}" for name in MORE_BYTES),
            *(f"{cost.memory[name]:,}" for name in MEMORY),
        )
    yield from (first, second)
