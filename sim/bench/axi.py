"""The host link as AXI4-Stream, driven by cocotbext-axi, in the place of `link.Link`."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, SimTimeoutError, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamSink, AxiStreamSource

from host.errors import LeptonError
from sim.bench.beats import of_packet
from sim.bench.link import IDLE_CYCLES, PERIOD
from sim.bench.stalls import Pauses

T = TypeVar("T")


class AxiLink:
    """Both streams; a packet is a frame of bytes."""

    def __init__(self, dut: Any, pauses: tuple[Pauses | None, Pauses | None]) -> None:
        self.dut, self.clk = dut, dut.aclk
        self.width = len(dut.m_axis_tdata)
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **reset)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **reset)
        for side, pattern in zip((self.source, self.sink), pauses, strict=True):
            side.log.setLevel("WARNING")
            if pattern is not None:
                side.set_pause_generator(pattern)

    async def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """Sends words while collecting so many packets; LeptonError when that does not end."""
        for packet in np.split(words.astype("<u4"), np.flatnonzero(last) + 1):
            if len(packet):
                self.source.send_nowait(packet.tobytes())
        found = []
        for _ in range(packets):
            frame = await bounded(self.sink.recv(), f"packet {len(found) + 1} of {packets} to come")
            found.append(of_packet(bytes(frame.tdata), self.width))
        await bounded(self.source.wait(), f"{len(words)} words to be taken")
        return found

    async def reset(self) -> None:
        """Pulls the reset, at any time at which nothing is being sent."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.clk, 3)
        assert not self.dut.s_axis_tready.value, "TREADY is high in reset"
        assert not self.dut.m_axis_tvalid.value, "TVALID is high in reset"
        self.sink.clear()
        self.dut.aresetn.value = 1


async def bounded(event: Awaitable[T], what: str) -> T:
    """Waits for what must not take long; LeptonError when it does."""
    try:
        return await with_timeout(event, IDLE_CYCLES * PERIOD, "ns")
    except SimTimeoutError:
        raise LeptonError(f"waited {IDLE_CYCLES} cycles for {what}") from None


async def start(dut: Any, pauses: tuple[Pauses | None, Pauses | None]) -> AxiLink:
    """A core behind AXI4-Stream, out of reset."""
    Clock(dut.aclk, PERIOD, "ns").start()
    link = AxiLink(dut, pauses)
    await link.reset()
    return link
