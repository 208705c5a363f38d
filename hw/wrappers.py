"""The core behind ports that other tools know by name."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import Config
from .core import Core


class AxiStream(wiring.Component):
    """The core as an AXI4-Stream peripheral, with the port names by which FPGA tools infer the
    buses.

    A transfer is a beat of ``cfg.link_width`` bits; there is no TKEEP, because a packet's header
    tells its length: a packet of an odd number of words has its last beat of 64 bits filled with
    zeros.

    Attributes
    ----------
    aclk, aresetn : In
        The clock of both streams, and their reset, active low and synchronous.
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast : In, In, Out, In
        Packets to the core; TLAST ends one.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast : Out, Out, In, Out
        Packets from the core.
    running : Out
        A run is going on.
    """

    aclk: Signal
    aresetn: Signal
    s_axis_tdata: Signal
    s_axis_tvalid: Signal
    s_axis_tready: Signal
    s_axis_tlast: Signal
    m_axis_tdata: Signal
    m_axis_tvalid: Signal
    m_axis_tready: Signal
    m_axis_tlast: Signal
    running: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "aclk":          In(1),
            "aresetn":       In(1),
            "s_axis_tdata":  In(cfg.link_width),
            "s_axis_tvalid": In(1),
            "s_axis_tready": Out(1),
            "s_axis_tlast":  In(1),
            "m_axis_tdata":  Out(cfg.link_width),
            "m_axis_tvalid": Out(1),
            "m_axis_tready": In(1),
            "m_axis_tlast":  Out(1),
            "running":       Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(local=True)
        m.submodules.core = core = Core(self.cfg)
        m.d.comb += [
            ClockSignal().eq(self.aclk),
            ResetSignal().eq(~self.aresetn),
            core.i.p.data.eq(self.s_axis_tdata),
            core.i.p.last.eq(self.s_axis_tlast),
            core.i.valid.eq(self.s_axis_tvalid),
            # AXI wants nothing valid or ready in reset; the core alone would say that it is ready.
            self.s_axis_tready.eq(core.i.ready & self.aresetn),
            self.m_axis_tdata.eq(core.o.p.data),
            self.m_axis_tlast.eq(core.o.p.last),
            self.m_axis_tvalid.eq(core.o.valid & self.aresetn),
            core.o.ready.eq(self.m_axis_tready),
            self.running.eq(core.running),
        ]
        return m
