"""The host link in cocotb: a driver, a monitor, and both together as a transport of `host`."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import ClockCycles, Event, RisingEdge, SimTimeoutError, with_timeout

from host.errors import LeptonError
from sim.bench.beats import Beat, to_beats, to_words
from sim.bench.stalls import Pauses

PERIOD = 10
"""Nanoseconds of a cycle."""

IDLE_CYCLES = 300_000
"""A link is stuck when nothing moves for so long; a layer of LeNet on 3 x 2 takes a third of it."""


class Driver:
    """Sends beats, with pauses in front of them; what is offered stays until it is taken."""

    def __init__(self, dut: Any, pauses: Pauses | None) -> None:
        self.edge, self.rising = RisingEdge(dut.clk), RisingEdge(dut.i__ready)
        self.valid, self.ready, self.payload = dut.i__valid, dut.i__ready, dut.i__payload
        self.width = len(self.payload) - 1
        self.pauses = pauses
        self.taken = 0
        self.valid.value = 0

    async def send(self, beats: list[Beat]) -> None:
        """Returns when the last one is taken."""
        await self.edge
        for data, last in beats:
            if self.pauses is not None:
                while next(self.pauses):
                    self.valid.value = 0
                    await self.edge
            self.payload.value = data | last << self.width
            self.valid.value = 1
            await self.edge
            while not self.ready.value:
                await self.rising
                await self.edge
            self.taken += 1
        self.valid.value = 0


class Monitor:
    """Takes beats and joins them to packets; sleeps while there are none, unless it pauses.

    With pauses it looks in every cycle, and demands that what is offered stays until it is taken.
    """

    def __init__(self, dut: Any, pauses: Pauses | None) -> None:
        self.edge, self.rising = RisingEdge(dut.clk), RisingEdge(dut.o__valid)
        self.valid, self.ready, self.payload = dut.o__valid, dut.o__ready, dut.o__payload
        self.reset = dut.rst
        self.width = len(self.payload) - 1
        self.packets: deque[np.ndarray] = deque()
        self.came = Event()
        self.taken = 0
        self._beats: list[int] = []
        cocotb.start_soon(self._always() if pauses is None else self._with(pauses))

    async def _always(self) -> None:
        self.ready.value = 1
        while True:
            await self.edge
            if self.valid.value:
                self._take(int(self.payload.value))
            else:
                await self.rising

    async def _with(self, pauses: Pauses) -> None:
        held = None
        for pause in pauses:
            self.ready.value = int(not pause)
            await self.edge
            offered = int(self.payload.value) if self.valid.value else None
            if self.reset.value:
                held = None
            assert held in (None, offered), f"{held:#x} was offered, then {offered}, and not taken"
            held = offered
            if offered is not None and not pause:
                self._take(offered)
                held = None

    def forget(self) -> None:
        """Drops all that came."""
        self.packets.clear()
        self._beats = []

    def _take(self, payload: int) -> None:
        self.taken += 1
        self._beats.append(payload & ((1 << self.width) - 1))
        if payload >> self.width:
            self.packets.append(to_words(self._beats, self.width))
            self._beats = []
            self.came.set()


class Link:
    """Both sides of the core's link."""

    def __init__(self, dut: Any, pauses: tuple[Pauses | None, Pauses | None]) -> None:
        self.clk, self.rst = dut.clk, dut.rst
        self.driver, self.monitor = Driver(dut, pauses[0]), Monitor(dut, pauses[1])

    async def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """Sends words while collecting so many packets; LeptonError when nothing moves any more."""
        beats = to_beats(words, last, self.driver.width)
        before = self.driver.taken
        sending = cocotb.start_soon(self.driver.send(beats))
        monitor = self.monitor
        try:
            await self._until(lambda: len(monitor.packets) >= packets and sending.done())
        except SimTimeoutError:
            sending.cancel()
            raise LeptonError(
                f"nothing moves for {IDLE_CYCLES} cycles: {len(monitor.packets)} of {packets} "
                f"packets came, {self.driver.taken - before} of {len(beats)} beats were taken"
            ) from None
        return [monitor.packets.popleft() for _ in range(packets)]

    async def reset(self) -> None:
        """Pulls the reset, at any time at which nothing is being sent."""
        self.rst.value = 1
        await ClockCycles(self.clk, 3)
        self.monitor.forget()
        self.rst.value = 0

    async def _until(self, done: Callable[[], bool]) -> None:
        """SimTimeoutError when nothing has moved for a while."""
        moved, watched = -1, 0
        while not done():
            now = self.driver.taken + self.monitor.taken
            if now == moved and watched >= IDLE_CYCLES:
                raise SimTimeoutError
            watched = watched + STEP if now == moved else 0
            moved = now
            self.monitor.came.clear()
            try:
                await with_timeout(self.monitor.came.wait(), STEP * PERIOD, "ns")
            except SimTimeoutError:
                continue


STEP = 500
"""Cycles between two looks at whether anything moved."""


class Exchanges(Protocol):
    """What the benches need of a link."""

    clk: Any

    async def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """Sends words while collecting so many packets; LeptonError when that does not end."""
        ...

    async def reset(self) -> None:
        """Pulls the reset, at any time at which nothing is being sent."""
        ...


class Transport:
    """The link as `host.Session` wants it, in a thread that cocotb's `bridge` made."""

    on_progress: Callable[[int], None] | None = None

    def __init__(self, link: Exchanges) -> None:
        self.exchange = resume(link.exchange)

    def cycles_to(self, packet: int) -> None:
        """None: a bench counts by the core's own counters."""

    def close(self) -> None:
        """Nothing: the bench ends the simulation."""


async def start(dut: Any, pauses: tuple[Pauses | None, Pauses | None]) -> Link:
    """A core out of reset."""
    Clock(dut.clk, PERIOD, "ns").start()
    link = Link(dut, pauses)
    await link.reset()
    return link
