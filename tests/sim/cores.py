"""A small core with the ports of the real one, whose answers are easy to foresee."""

from functools import lru_cache

from amaranth import Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.verilog import convert


def beat(link_width: int) -> data.StructLayout:
    """One beat of the host link."""
    return data.StructLayout({"data": link_width, "last": 1})


class Echo(wiring.Component):
    """Repeats every packet with one added to each beat.

    After a beat of only ones it takes no more until it is reset.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, link_width: int) -> None:
        self.link_width = link_width
        signature = stream.Signature(beat(link_width))
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=self.link_width + 1, depth=16)
        stuck = Signal()

        with m.If(~stuck):
            m.d.comb += self.i.ready.eq(queue.w_rdy)
            m.d.comb += queue.w_en.eq(self.i.valid)
        m.d.comb += queue.w_data.eq(self.i.payload)
        with m.If(self.i.valid & self.i.ready & self.i.p.data.all()):
            m.d.sync += stuck.eq(1)

        out = stream.Signature(beat(self.link_width)).create()
        m.d.comb += out.p.data.eq(queue.r_data[: self.link_width] + 1)
        m.d.comb += out.p.last.eq(queue.r_data[self.link_width])
        m.d.comb += out.valid.eq(queue.r_rdy)
        m.d.comb += queue.r_en.eq(out.ready)
        connect(m, out, flipped(self.o))
        return m


@lru_cache
def echo_verilog(link_width: int) -> str:
    """The echo core as the text that `sim.build` takes."""
    return convert(Echo(link_width))
