"""One lane: what is there once for each image that is at work."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from . import isa, layouts
from .accumulator import Accumulators
from .array import Array
from .byte_lanes import ByteLanes
from .config import Config
from .delay import delayed
from .results import Results
from .scratchpad import Scratchpad
from .tree import Tree


def array_form(cfg: Config) -> type[Array] | type[Tree]:
    """What multiplies in a lane."""
    return Tree if cfg.adder_tree else Array


def _members(cfg: Config) -> dict[str, wiring.Member]:
    """Ports of one lane."""
    return {
        "running": In(1),
        "vector":  In(layouts.vector(cfg)),
        "tag":     In(layouts.tag(cfg)),
        "w":       In(layouts.weights(cfg)).array(cfg.weight_ports),
        "pushed":  Out(1),
        "index":   In(range(cfg.result_depth)),
        "beat":    In(range(max(2, cfg.beats))),
        "acc":     Out(layouts.beat_of_results(cfg)),
        "bytes":   In(layouts.bytes_out(cfg)),
        "input":   In(layouts.input_words(cfg)),
        "word":    Out(layouts.WORD),
        "bus":     In(layouts.host_bus(cfg, isa.Space.SCRATCHPAD)),
    }  # fmt: skip


class Lane(wiring.Component):
    """Activations, array, accumulators and the buffer of results.

    All lanes do the same in the same cycle, with the same weights, on different bytes. What decides
    (sequencer, feeder, loader, post-processing's order) is outside and there once.

    Attributes
    ----------
    running : In
        The scratchpad is the array's; else the host's.
    vector : In
        The vector of this cycle; what becomes of its sums follows it here.
    tag, w : In
        Weights; see `Array`.
    pushed, index, beat, acc : Out, In, In, Out
        The results' reading side; see `Results`.
    bytes : In
        Requantized bytes.
    input : In
        Words of input.
    word : Out
        The 32-bit word at `vector`'s address, `Scratchpad.WORD_LATENCY` cycles later.
    bus : In
        The host's side of the scratchpad.
    """

    running: Signal
    vector: data.View
    tag: data.View
    w: list[data.View]
    pushed: Signal
    index: Signal
    beat: Signal
    acc: data.View
    bytes: data.View
    input: stream.Interface
    word: Signal
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__(_members(cfg))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        m.submodules.scratchpad = scratchpad = (ByteLanes if cfg.adder_tree else Scratchpad)(cfg)
        form = array_form(cfg)
        m.submodules.array = array = form(cfg)
        m.submodules.accumulators = accumulators = Accumulators(cfg)
        m.submodules.results = results = Results(cfg)

        connect(m, flipped(self.input), scratchpad.input)
        connect(m, flipped(self.bus), scratchpad.bus)
        to_sums = Scratchpad.LATENCY + form.latency(cfg) - Accumulators.LEAD
        to_swap = Scratchpad.LATENCY - form.SWAP_AHEAD
        m.d.comb += [
            scratchpad.running.eq(self.running),
            scratchpad.address.eq(self.vector.address),
            scratchpad.results.eq(self.bytes),
            self.word.eq(scratchpad.word),
            array.a.eq(scratchpad.slice),
            array.swap.eq(delayed(m, "swap", self.vector.swap, to_swap)),
            array.tag.eq(self.tag),
            *(i.eq(o) for i, o in zip(array.w, self.w, strict=True)),
            accumulators.order.eq(delayed(m, "order", self.vector.accumulate, to_sums)),
            accumulators.sums.eq(array.sums),
            results.push.eq(accumulators.push),
            results.i.eq(accumulators.pooled),
            results.index.eq(self.index),
            results.beat.eq(self.beat),
            self.pushed.eq(results.pushed),
            self.acc.eq(results.o),
        ]
        return m


class Lanes(wiring.Component):
    """All lanes side by side: the same orders to each, its own bytes from each.

    Attributes are those of `Lane`; `acc`, `bytes` and `word` have one for each lane.
    """

    running: Signal
    vector: data.View
    tag: data.View
    w: list[data.View]
    pushed: Signal
    index: Signal
    beat: Signal
    acc: list[data.View]
    bytes: list[data.View]
    input: stream.Interface
    word: data.View
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        members = _members(cfg)
        members["acc"] = Out(layouts.beat_of_results(cfg)).array(cfg.lanes)
        members["bytes"] = In(layouts.bytes_out(cfg)).array(cfg.lanes)
        members["word"] = Out(layouts.words(cfg))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = [Lane(self.cfg) for _ in range(self.cfg.lanes)]
        bus_word = Signal.like(self.bus.word)
        bus_words = Signal(layouts.words(self.cfg))
        for i, lane in enumerate(lanes):
            m.submodules[f"lane_{i}"] = lane
            m.d.comb += [
                lane.running.eq(self.running),
                lane.vector.eq(self.vector),
                lane.tag.eq(self.tag),
                *(a.eq(b) for a, b in zip(lane.w, self.w, strict=True)),
                lane.index.eq(self.index),
                lane.beat.eq(self.beat),
                self.acc[i].eq(lane.acc),
                lane.bytes.eq(self.bytes[i]),
                lane.input.payload.eq(self.input.payload),
                lane.input.valid.eq(self.input.valid & (self.input.p.lane == i)),
                self.word[i].eq(lane.word),
                lane.bus.row.eq(self.bus.row),
                lane.bus.w_data.eq(self.bus.w_data),
                lane.bus.write.eq(self.bus.write & (self.bus.word == i)),
                bus_words[i].eq(lane.bus.r_data),
            ]
        m.d.sync += bus_word.eq(self.bus.word)
        m.d.comb += [
            # Lanes write results in the same cycles, so they are ready in the same.
            self.input.ready.eq(lanes[0].input.ready),
            self.pushed.eq(lanes[0].pushed),
            self.bus.r_data.eq(bus_words[bus_word]),
        ]
        return m
