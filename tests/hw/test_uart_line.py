"""hw/uart_line.py"""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring

from hw.errors import ConfigError
from hw.uart_line import LineIn, LineOut, check_divisor
from tests.hw.simulation import pauses, play, put, simulate

BYTES = [0x00, 0xFF, 0x55, 0xAA, 0x7E, 0x01, 0x80]


def bits(byte, stop=1):
    return [0, *(byte >> i & 1 for i in range(8)), stop]


def wave(levels, cycles):
    """Levels of `cycles` each, which need not be a whole number."""
    ends = np.round(np.arange(1, len(levels) + 1) * cycles).astype(int)
    return np.repeat(levels, np.diff([0, *ends])).tolist()


def heard(levels, divisor):
    dut = LineIn(divisor)
    seen = play(dut, [(dut.rx, levels)], [dut.valid, dut.data, dut.error], len(levels))
    return [data for valid, data, _ in seen if valid], sum(error for *_, error in seen)


@pytest.mark.parametrize("divisor", [4, 5, 8, 13], ids="divisor={}".format)
@pytest.mark.parametrize("off", [-0.02, 0, 0.02], ids="off={}".format)
def test_bytes_are_heard_although_the_rates_differ(divisor, off):
    levels = [1, 1, *(bit for byte in BYTES for bit in bits(byte)), 1, 1]
    assert heard(wave(levels, divisor * (1 + off)), divisor) == (BYTES, 0)


def test_a_low_stop_bit_is_an_error_and_the_next_byte_is_heard():
    levels = [1, *bits(0x12, stop=0), *[1] * 12, *bits(0x34), 1]
    assert heard(wave(levels, 8), 8) == ([0x34], 1)


def test_a_glitch_is_no_start_bit():
    levels = [1] * 20 + [0] * 2 + [1] * 100 + wave(bits(0x5A), 8) + [1] * 20
    assert heard(levels, 8) == ([0x5A], 0)


@pytest.mark.parametrize("divisor", [4, 7], ids="divisor={}".format)
@pytest.mark.parametrize("stalls", ["none", "random"])
def test_what_is_sent_is_heard(divisor, stalls):
    class Loop(wiring.Component):
        def __init__(self):
            self.line_out, self.line_in = LineOut(divisor), LineIn(divisor)
            super().__init__({})

        def elaborate(self, platform):
            m = Module()
            m.submodules.line_out, m.submodules.line_in = self.line_out, self.line_in
            m.d.comb += self.line_in.rx.eq(self.line_out.tx)
            return m

    dut = Loop()
    came = []

    async def source(ctx):
        assert ctx.get(dut.line_out.tx) == 1, "the line is high when idle"
        await put(ctx, dut.line_out.i, BYTES, pauses(stalls, 1))

    async def sink(ctx):
        while len(came) < len(BYTES):
            _, _, valid, data = await ctx.tick().sample(dut.line_in.valid, dut.line_in.data)
            if valid:
                came.append(data)

    simulate(dut, source, sink, cycles=20 * divisor * len(BYTES))
    assert came == BYTES


@pytest.mark.parametrize("divisor", [3, 0, 1 << 17, 4.5])
def test_a_divisor_that_cannot_work_is_refused(divisor):
    with pytest.raises(ConfigError, match="a bit takes 4 to 65536 cycles"):
        check_divisor(divisor)
