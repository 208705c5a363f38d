"""A placed and routed design: how fast it is and where everything went."""

import json
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from host.synth import netlist
from host.synth.devices import Device
from host.synth.tools import SynthesisError


@dataclass(frozen=True)
class Placement:
    """A netlist, placed and routed once for each seed."""

    device: Device
    folders: tuple[Path, ...]
    """In the order of the seeds that were routed."""
    unrouted: tuple[int, ...] = ()
    """Seeds that were given up."""

    @cached_property
    def reports(self) -> list[dict]:
        """What nextpnr says of each seed."""
        return [json.loads((folder / "report.json").read_text()) for folder in self.folders]

    @cached_property
    def frequencies(self) -> list[float]:
        """MHz, in the order of the seeds."""
        return [round(netlist.frequency(report), 2) for report in self.reports]

    @property
    def median(self) -> float:
        """MHz."""
        return round(statistics.median(self.frequencies), 2)

    @property
    def best(self) -> int:
        """Index of the fastest seed."""
        return max(range(len(self.frequencies)), key=self.frequencies.__getitem__)

    @property
    def middle(self) -> int:
        """Index of the seed that is the median, or just below it."""
        order = sorted(range(len(self.frequencies)), key=self.frequencies.__getitem__)
        return order[(len(order) - 1) // 2]

    @property
    def critical_path(self) -> netlist.CriticalPath:
        """Of the middle seed."""
        return netlist.critical_path(self.reports[self.middle])

    @property
    def bitstream(self) -> Path:
        """Of the fastest seed."""
        return next(self.folders[self.best].glob("lepton.bi[nt]"))

    @property
    def utilization(self) -> dict[str, tuple[int, int]]:
        """Of each kind of site, how many the packed design takes and how many there are."""
        found = self.reports[self.best]["utilization"]
        return {name: (site["used"], site["available"]) for name, site in found.items()}

    def sites(self) -> dict[str, str]:
        """The site of each cell, for the fastest seed."""
        return json.loads((self.folders[self.best] / "sites.json").read_text())

    @property
    def constraints(self) -> list[float]:
        """MHz of each clock, as nextpnr had them."""
        return [clock["constraint"] for clock in self.reports[self.best]["fmax"].values()]

    @property
    def slack(self) -> float:
        """Nanoseconds to spare, of the fastest seed, against what nextpnr was told: less than zero
        where timing is missed."""
        return netlist.slack(self.reports[self.best])

    def check_speed(self, megahertz: float, seeds: int | None = None) -> None:
        """Refuses a build whose fastest seed is slower than that, with its critical path."""
        best = self.frequencies[self.best]
        if best < megahertz:
            path = netlist.critical_path(self.reports[self.best])
            raise SynthesisError(
                f"{self.device.name} reaches {best} MHz with the best of "
                f"{seeds or len(self.frequencies)} seeds, not {megahertz:g}; "
                f"the critical path goes {path.sentence()}"
            )
