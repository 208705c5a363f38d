"""`lepton compile`, `verilog`, `export`, `configs`: what is made of models and configurations."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Model
from hw.config import LIMITS, NAMED, Config

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")]


def compile_program(
    model: Model, out: Out, batch: Batch = None, config: ConfigName = "default",
    changes: Changes = None,
) -> None:  # fmt: skip
    """Quantize a model and write its program for a configuration."""
    chosen = options.configuration(config, changes)
    options.check_writable(out, "--out")

    from host import catalog
    from host.compiler import compile

    graph = catalog.find(model).quantize(chosen.multiplier_width)
    program = compile(graph, chosen, batch=batch)
    program.save(out)
    typer.echo(
        f"{out}: {len(program.words):,} words of program, {len(program.weights):,} rows of weights "
        f"and {len(program.table):,} of the requantization table"
    )


def verilog(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="File to write; - is standard output."),
    ],
    config: ConfigName = "default",
    changes: Changes = None,
) -> None:
    """Write the Verilog of a configuration, top module `lepton`."""
    chosen = options.configuration(config, changes)
    options.check_writable(out, "--out", or_stdout=True)

    from host.program import write_whole
    from sim import build

    text = build.verilog(chosen)
    if out == STDOUT:
        sys.stdout.write(text)
        return
    write_whole(out, text.encode())
    typer.echo(f"{out}: {chosen.rows} x {chosen.cols} array, {text.count(chr(10)):,} lines")


def export(
    model: Model, out: Out,
    layers: Annotated[
        bool, typer.Option("--layers", help="Make the output of every layer one of the network's.")
    ] = False,
) -> None:  # fmt: skip
    """Quantize a model and write the integer network as ONNX."""
    options.check_writable(out, "--out")

    from host import catalog, onnx_export

    graph = catalog.find(model).quantize(Config().multiplier_width)
    onnx_export.save(graph, out, layers=layers)
    typer.echo(f"{out}: {len(graph.layers)} layers, opset {onnx_export.OPSET}")


def configs() -> None:
    """List the named configurations and the fields that --set changes."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("field")
    for name in NAMED:
        table.add_column(name, justify="right")
    table.add_column("from", justify="right")
    table.add_column("to", justify="right")
    for field, (low, high) in LIMITS.items():
        values = [f"{getattr(config, field):,}" for config in NAMED.values()]
        table.add_row(field, *values, f"{low:,}", f"{high:,}")
    Console().print(table)
