"""The longest ways of an iCE40 netlist, estimated before placement: what is worth changing.

``python -m host.synth.ways CONFIG`` prints them. Placement takes minutes, and what it reports is
one way of many, with the luck of its seed in it; this takes what Yosys left and shows all that are
long. No figure from here is a result.
"""

import argparse
from collections import Counter
from dataclasses import dataclass

from host.synth.devices import device
from host.synth.flow import synthesize
from host.synth.netlist import block_of, signal
from hw.config import named

LUT, CARRY, INTO_CARRY, OUT_OF_CARRY = 0.95, 0.28, 0.6, 0.4
START = {"SB_DFF": 1.39, "SB_RAM": 3.0, "SB_SPRAM": 3.0, "SB_MAC": 2.0}
"""Nanoseconds from the clock to an output, of iCE40UP5K, as nextpnr reports them."""

WIRES = ((2, 1.76), (4, 2.2), (10, 2.9), (20, 3.8))
FAR = 4.5
"""Nanoseconds of a wire to so many inputs at the most, and of one to more: what nextpnr's reports
of this core have on average."""

CLOCKS = frozenset(("C", "CLK", "CLOCK", "RCLK", "WCLK"))


@dataclass(frozen=True)
class Way:
    """The longest of those that end in one signal's cells at one kind of port."""

    nanoseconds: float
    tables: int
    """Lookup tables on it, without those of carry chains."""
    start: str
    end: str
    port: str


class Ways:
    """Arrival times in a netlist, given as the cells of its flat top module."""

    def __init__(self, cells: dict[str, dict]) -> None:
        self.cells = cells
        self.readers: Counter[int] = Counter()
        self.makers: dict[int, str] = {}
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                nets = [bit for bit in bits if isinstance(bit, int)]
                if cell["port_directions"][port] == "output":
                    self.makers.update(dict.fromkeys(nets, name))
                else:
                    self.readers.update(nets)
        self.arrivals: dict[int, tuple[float, int | None]] = {}
        """When a net has its value, and the net before it on the longest way."""
        for net in self.makers:
            self._arrive(net)

    def _arrive(self, net: int) -> None:
        # Without recursion: carry chains are long.
        waiting = [net]
        while waiting:
            here = waiting[-1]
            missing = [
                before
                for before, _ in self._before(here)
                if before in self.makers and before not in self.arrivals
            ]
            if missing and here not in self.arrivals:
                waiting += missing
                continue
            waiting.pop()
            kind = self.cells[self.makers[here]]["type"]
            start = next((t for name, t in START.items() if kind.startswith(name)), 0.0)
            found: tuple[float, int | None] = (start, None)
            for before, delay in self._before(here):
                at = self.arrivals.get(before, (0.0, None))[0] + delay
                if at > found[0]:
                    found = (at, before)
            self.arrivals[here] = found

    def _before(self, net: int) -> list[tuple[int, float]]:
        """The nets that this one is made of in the same cycle, each with what the way adds."""
        cell = self.cells[self.makers[net]]
        if cell["type"] not in ("SB_LUT4", "SB_CARRY"):
            return []
        found = []
        for port, (bit, *_) in cell["connections"].items():
            if cell["port_directions"][port] == "output" or not isinstance(bit, int):
                continue
            if cell["type"] == "SB_LUT4":
                chained = self._kind(bit) == "SB_CARRY"
                found.append((bit, LUT + (OUT_OF_CARRY if chained else self.wire(bit))))
            else:
                found.append((bit, CARRY if port == "CI" else self.wire(bit) + INTO_CARRY))
        return found

    def _kind(self, net: int) -> str:
        return self.cells[self.makers[net]]["type"] if net in self.makers else ""

    def wire(self, net: int) -> float:
        """Nanoseconds to the inputs of a net."""
        return next((t for most, t in WIRES if self.readers[net] <= most), FAR)

    def longest(self) -> list[Way]:
        """One for each signal and kind of port that they end in, the longest first."""
        ends: dict[tuple[str, str], tuple[float, int]] = {}
        for name, cell in self.cells.items():
            if cell["type"] in ("SB_LUT4", "SB_CARRY"):
                continue
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output" or port in CLOCKS:
                    continue
                for net in bits:
                    if not isinstance(net, int) or net not in self.arrivals:
                        continue
                    # The table in front of a flip-flop shares its cell.
                    within = port == "D" and cell["type"].startswith("SB_DFF")
                    at = self.arrivals[net][0] + (0 if within else self.wire(net))
                    key = (f"{block_of(name)}: {signal(name)}", port)
                    if key not in ends or at > ends[key][0]:
                        ends[key] = (at, net)
        ways = [self._way(end, port, at, net) for (end, port), (at, net) in ends.items()]
        return sorted(ways, key=lambda way: -way.nanoseconds)

    def _way(self, end: str, port: str, at: float, net: int) -> Way:
        nets: list[int] = []
        here: int | None = net
        while here is not None:
            nets.append(here)
            here = self.arrivals[here][1] if here in self.arrivals else None
        tables = sum(self._kind(n) == "SB_LUT4" for n in nets)
        first = self.makers.get(nets[-1])
        return Way(at, tables, signal(first) if first else "a pin", end, port)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="The longest ways of a netlist, estimated before placement."
    )
    parser.add_argument("config", nargs="?", default="up5k")
    parser.add_argument("--count", type=int, default=30, help="how many are shown")
    asked = parser.parse_args()
    built = synthesize(named(asked.config), device("up5k"), tell=lambda text: None)
    print("estimate, ns  tables  from -> to (port)")
    for way in Ways(built.cells).longest()[: asked.count]:
        print(f"{way.nanoseconds:12.1f} {way.tables:7}  {way.start} -> {way.end} ({way.port})")


if __name__ == "__main__":
    main()
