"""`lepton cost`: how many cycles a model takes, without simulating it."""

import json
import sys
from dataclasses import asdict

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Json, Model


def cost(
    model: Model, batch: Batch = None, config: ConfigName = "default", changes: Changes = None,
    json_path: Json = None,
) -> None:  # fmt: skip
    """Predict a model's cycles on a configuration; equal to the counters that `run` shows."""
    chosen = options.configuration(config, changes)
    options.check_writable(json_path, "--json", or_stdout=True)

    from rich.console import Console

    from host import catalog
    from host.cli import tables
    from host.compiler import compile
    from host.cost import predict
    from host.layer_costs import layer_costs
    from host.program import write_whole

    graph = catalog.find(model).quantize(chosen.multiplier_width)
    program = compile(graph, chosen, batch=batch)
    counters = predict(program)
    layers = layer_costs(program, counters)
    record = {
        "model": model,
        "batch": program.batch,
        "config": config,
        "fields": dict(chosen.items()),
        "cycles_per_image": counters.cycles_per_image,
        "latency_cycles": counters.latency,
        "macs_per_image": program.macs,
        "pes": chosen.pes,
        "utilization": program.macs / (counters.cycles_per_image * chosen.pes),
        "program_words": len(program.words),
        "weight_words": len(program.weights),
        "table_words": len(program.table),
        "scratchpad_bytes": program.scratchpad_used,
        "layers": [asdict(layer) for layer in layers],
    }
    text = json.dumps(record, indent=2) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
        return
    if json_path is not None:
        write_whole(json_path, text.encode())
    console = Console(highlight=False)
    console.print(tables.layers(layers))
    for table in tables.moved(layers):
        console.print(table)
    console.print(
        f"{model} on {config} ({chosen.rows} x {chosen.cols}), batch {program.batch}: "
        f"{counters.cycles_per_image:,.0f} cycles per image, "
        f"{record['utilization']:.1%} utilization, "
        f"latency {counters.latency:,} cycles, predicted"
    )
