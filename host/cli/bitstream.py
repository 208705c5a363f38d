"""`lepton bitstream`: a core for a board, ready to be loaded."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import Changes


def bitstream(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="icebreaker, ulx3s-85f, ...")],
    config: Annotated[
        str | None, typer.Option("--config", metavar="NAME", help="Default: the board's own.")
    ] = None,
    changes: Changes = None,
    megahertz: Annotated[
        float | None, typer.Option("--mhz", metavar="F", min=1, help="Default: the board's own.")
    ] = None,
    baud: Annotated[int, typer.Option(metavar="B", min=1, help="Of the serial port.")] = 1_000_000,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Placements tried at most.")
    ] = 4,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Default: build/BOARD.bin or .bit."),
    ] = None,
) -> None:
    """Make the bitstream of a board whose timing is met; docs/boards.md says how to load it.

    Exit code 2 says that no placement meets the frequency, with the critical path.
    """
    from hw.boards import board as named_board

    chosen = named_board(board)
    cfg = options.configuration(config or chosen.config, changes)
    if out is None:
        Path("build").mkdir(exist_ok=True)
        out = Path("build") / f"{chosen.name}{'.bin' if chosen.device == 'up5k' else '.bit'}"
    options.check_writable(out, "--out")

    from host.program import write_whole
    from host.synth.boards import build

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    built = build(chosen, cfg, megahertz=megahertz or chosen.megahertz, baud=baud, tell=tell)
    placed = built.place(seeds, tell=tell)
    write_whole(out, placed.bitstream.read_bytes())
    print(
        f"{out}: {config or chosen.config} on {chosen.title}, {built.megahertz:g} MHz, "
        f"{placed.slack:.2f} ns to spare ({placed.median:g} MHz reached), {baud:,} baud"
    )
