"""The tables with which `lepton run`, `cost` and `synth` end."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from host.measurement import Hardware, LayerCost, Measurement
from host.synth.flow import Placement, Synthesis

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
        "cycles to the first output": f"{int(counters.stamps[0]):,}",
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
    for name in ("MACs", "cycles", "utilization", *(STALLS[stall] for stall in stalls)):
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


def synthesis(built: Synthesis) -> Iterator[Table]:
    """Cells of a build against those of the part, and of each block."""
    used = built.usage.record()
    part = Table(title=f"{built.scope} on {built.device.name}")
    part.add_column("")
    for name in ("used", "available", "share"):
        part.add_column(name, justify="right")
    for name, there in built.device.available.items():
        if there or used[name]:
            share = f"{used[name] / there:.0%}" if there else "-"
            part.add_row(name, f"{used[name]:,}", f"{there:,}", share)
    yield part
    blocks = Table()
    blocks.add_column("block")
    kinds = list(used)
    for kind in kinds:
        blocks.add_column(kind, justify="right")
    for name, block in built.blocks.items():
        blocks.add_row(name, *(f"{block.record()[kind]:,}" for kind in kinds))
    yield blocks


def speed(placed: Placement) -> str:
    """Frequencies over the seeds and the critical path."""
    seeds = placed.frequencies
    return (
        f"fmax {min(seeds):.1f} / {placed.median:.1f} / {max(seeds):.1f} MHz "
        f"(lowest, median, highest of {len(seeds)} seeds)\n"
        f"critical path {placed.critical_path.sentence()}\n"
        f"bitstream {placed.bitstream}"
    )
