"""Names of targets, as `lepton run --target` and `Session` take them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from host.errors import LeptonError
from host.transports import Transport
from host.transports.simulated import Simulated
from host.transports.uart import BAUD, UART
from hw.config import Config

if TYPE_CHECKING:
    from host.synth.devices import Device

SERIAL = "uart:"
"""Stands before the name of a serial port."""

NETLIST = "netlist:"
"""Stands before the name of a device for which the core is synthesized, and then simulated."""


def check_target(target: str, baud: int | None, *, also: tuple[str, ...] = ()) -> None:
    """LeptonError for a name that is neither a target nor in `also`, or a rate for none."""
    names = ("sim", *also)
    if target.startswith(NETLIST):
        _part(target)
    elif target not in names and not target.startswith(SERIAL):
        raise LeptonError(
            f"no target is named {target!r}; there are {', '.join(names)}, uart:PORT, "
            f"netlist:DEVICE"
        )
    if baud is not None and not target.startswith(SERIAL):
        raise LeptonError("a baud rate goes with a target uart:PORT")


def open_target(
    target: str, config: Config, *, waves: Path | None = None, baud: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Transport:  # fmt: skip
    """A transport to "sim", "uart:PORT" or "netlist:DEVICE". LeptonError for another name, or if it
    cannot be had."""
    check_target(target, baud)
    if target.startswith(SERIAL):
        if waves is not None:
            raise LeptonError("waves are of the simulated core; use the target sim")
        return UART(target.removeprefix(SERIAL), baud=BAUD if baud is None else baud)
    if target.startswith(NETLIST):
        from host.synth.simulation import library

        if waves is not None:
            raise LeptonError("waves are of the core, not of its netlist; use the target sim")
        return Simulated(library(config, _part(target), tell=progress or (lambda text: None)))
    return Simulated(config, waves=waves, progress=progress)


def _part(target: str) -> "Device":
    # Here, lest every run load what only synthesis needs: boards and their files.
    from host.synth.devices import device

    return device(target.removeprefix(NETLIST))
