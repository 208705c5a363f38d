"""The command line, `lepton`. Commands import PyTorch when they run, so that `--help` is quick."""

import signal
import sys

import typer

from host.cli import (
    bench,
    bitstream,
    compress,
    cost,
    explore,
    generate,
    profile,
    report,
    run,
    synth,
    train,
)
from host.errors import LeptonError
from hw.errors import ConfigError
from sim.errors import SimulationError

REFUSED = 2
INTERRUPTED = 130

app = typer.Typer(
    help="Lepton: quantized neural networks on generated, simulated hardware.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("cost")(cost.cost)
app.command("profile")(profile.profile)
app.command("bench")(bench.bench)
app.command("synth")(synth.synth)
app.command("bitstream")(bitstream.bitstream)
app.command("train")(train.train)
app.command("explore")(explore.explore)
app.command("compress")(compress.compress)
app.command("report")(report.report)
app.command("compile")(generate.compile_program)
app.command("verilog")(generate.verilog)
app.command("export")(generate.export)
app.command("configs")(generate.configs)


@app.callback(invoke_without_command=True)
def _no_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Runs the command that the arguments of this process name."""
    # As Ctrl-C, so that the tools that it started end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: list[str]) -> int:
    """Runs a command; returns its exit code. What the user can mend is one line on stderr."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="lepton", standalone_mode=False)
    except (LeptonError, ConfigError, SimulationError) as error:
        return _refuse(str(error), REFUSED)
    except typer.TyperException as error:
        return _refuse(error.format_message(), error.exit_code)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        return _refuse("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _refuse(sentence: str, code: int) -> int:
    print(f"lepton: {' '.join(sentence.split())}", file=sys.stderr)
    return code
