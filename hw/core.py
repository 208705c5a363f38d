"""The whole accelerator: parts and wires."""

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from . import layouts
from .config import Config
from .counters import Counters
from .decoder import Decoder
from .delay import delayed
from .feeder import Feeder
from .inputs import Inputs
from .isa import Space
from .lane import Lanes
from .link import LinkIn, LinkOut
from .outputs import Outputs
from .packets import PacketBuffer, ReplyMux
from .post import PostProcessing
from .scratchpad import Scratchpad
from .sequencer import Sequencer
from .table import Table
from .weights import Loader, WeightMemory

# A tile must be complete when the first slice of its pass arrives, and may not be a cycle too
# early.
assert WeightMemory.LATENCY == Feeder.LATENCY + Scratchpad.LATENCY - 1


class Core(wiring.Component):
    """Runs programs on packets; see docs/packets.md and docs/instructions.md.

    Attributes
    ----------
    i, o : In, Out
        The host link: packets in beats of ``cfg.link_width`` bits.
    running : Out
        A run is going on.
    """

    i: stream.Interface
    o: stream.Interface
    running: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "i":       In(stream.Signature(layouts.beat(cfg))),
            "o":       Out(stream.Signature(layouts.beat(cfg))),
            "running": Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        m.submodules.link_in = link_in = LinkIn(cfg)
        m.submodules.link_out = link_out = LinkOut(cfg)
        m.submodules.packets = packets = PacketBuffer(cfg)
        m.submodules.decoder = decoder = Decoder(cfg)
        m.submodules.replies = replies = ReplyMux()
        m.submodules.counters = counters = Counters(cfg)
        runner = Runner(cfg)
        # A register of its own: it reaches every flip-flop of the run.
        reset = Signal()
        m.d.sync += reset.eq(decoder.reset)
        m.submodules.runner = ResetInserter(reset)(runner)

        connect(m, flipped(self.i), link_in.i)
        connect(m, link_in.o, packets.i)
        connect(m, packets.o, decoder.i)
        connect(m, decoder.o, replies.answers)
        connect(m, runner.o, replies.outputs)
        connect(m, replies.o, link_out.i)
        connect(m, link_out.o, flipped(self.o))

        for space in (Space.PROGRAM, Space.WEIGHTS, Space.TABLE, Space.SCRATCHPAD):
            connect(m, decoder.buses[space.value], runner.buses[space.value])
        connect(m, decoder.buses[Space.TRACE.value], counters.bus)
        connect(m, decoder.input, runner.input)
        m.d.comb += [
            self.running.eq(runner.running),
            decoder.running.eq(runner.running),
            decoder.reset_waits.eq(packets.reset),
            packets.reset_done.eq(reset),
            decoder.counters.eq(counters.values),
            runner.start.eq(decoder.start),
            runner.batches.eq(decoder.batches),
            runner.batches_set.eq(decoder.batches_set),
            runner.ring.eq(decoder.ring),
            runner.cycle.eq(counters.values[0]),
            replies.abort.eq(reset),
            counters.clear.eq(decoder.start),
            counters.running.eq(runner.running),
            counters.events.eq(runner.events),
            counters.layer_start.eq(runner.layer_start),
            counters.layer_first.eq(runner.layer_first),
        ]
        return m


class Runner(wiring.Component):
    """All that runs a program and that a reset clears.

    Attributes are those of its parts, which see.
    """

    running: Signal
    start: Signal
    batches: Signal
    batches_set: Signal
    input: stream.Interface
    o: stream.Interface
    cycle: Signal
    events: Signal
    layer_start: Signal
    layer_first: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        spaces = (Space.PROGRAM, Space.WEIGHTS, Space.TABLE, Space.SCRATCHPAD)
        super().__init__({
            "running":     Out(1),
            "start":       In(1),
            "batches":     In(32),
            "batches_set": In(1),
            "ring":        In(layouts.ring(cfg)),
            "input":       In(stream.Signature(32)),
            "o":           Out(layouts.LINK_STREAM),
            "cycle":       In(32),
            "events":      Out(7),
            "layer_start": Out(1),
            "layer_first": Out(1),
            **{f"bus_{s.name.lower()}": In(layouts.host_bus(cfg, s)) for s in spaces},
        })  # fmt: skip
        self.buses = [getattr(self, f"bus_{s.name.lower()}") for s in spaces]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        m.submodules.sequencer = sequencer = Sequencer(cfg)
        m.submodules.loader = loader = Loader(cfg)
        m.submodules.feeder = feeder = Feeder(cfg)
        m.submodules.inputs = inputs = Inputs(cfg)
        m.submodules.outputs = outputs = Outputs(cfg)
        m.submodules.weights = weights = WeightMemory(cfg)
        m.submodules.lanes = lanes = Lanes(cfg)
        m.submodules.post = post = PostProcessing(cfg)
        m.submodules.table = table = Table(cfg)

        buses = (sequencer.bus, weights.bus, table.bus, lanes.bus)
        for bus, part in zip(self.buses, buses, strict=True):
            connect(m, flipped(bus), part)
        connect(m, flipped(self.input), inputs.i)
        connect(m, inputs.o, lanes.input)
        connect(m, outputs.o, flipped(self.o))

        # The run.
        with m.If(self.start):
            m.d.sync += self.running.eq(1)
        with m.If(outputs.finished):
            m.d.sync += self.running.eq(0)
        m.d.comb += [part.running.eq(self.running) for part in (sequencer, weights, lanes, table)]
        m.d.comb += [
            sequencer.start.eq(self.start),
            sequencer.batches.eq(self.batches),
            sequencer.batches_set.eq(self.batches_set),
            inputs.start.eq(self.start),
            inputs.ring.eq(self.ring),
            outputs.cycle.eq(self.cycle),
            outputs.finish.eq(self.running & sequencer.finished & feeder.idle),
            self.events.eq(Cat(feeder.fed, feeder.stalls)),
            self.layer_start.eq(feeder.layer_taken),
            self.layer_first.eq(sequencer.first),
        ]

        # An instruction goes to the loader, which runs ahead, then to the feeder.
        loaded = Signal()
        with m.If(loader.taken):
            m.d.sync += loaded.eq(1)
        with m.If(feeder.layer_free):
            m.d.sync += loaded.eq(0)
        m.d.comb += [
            loader.layer.eq(sequencer.layer),
            loader.layer_valid.eq(sequencer.valid & ~loaded),
            feeder.layer.eq(sequencer.layer),
            feeder.single.eq(sequencer.single),
            feeder.singles.eq(sequencer.singles),
            feeder.double.eq(sequencer.double),
            feeder.emits.eq(sequencer.emits),
            # What the loader has taken is there.
            feeder.layer_valid.eq(1),
            feeder.weights_taken.eq(loaded),
            feeder.weights_ready.eq(loader.ready),
            loader.swap.eq(feeder.swap),
            loader.more_tiles.eq(feeder.more_tiles),
            loader.more_blocks.eq(feeder.more_blocks),
            sequencer.taken.eq(feeder.layer_free),
            sequencer.level.eq(feeder.level),
            feeder.step.eq(sequencer.step),
            sequencer.result_level.eq(feeder.result_level),
            feeder.move.eq(sequencer.move),
        ]

        # Images in, outputs out.
        m.d.comb += [
            feeder.input_ready.eq(inputs.filled),
            feeder.input_base.eq(inputs.base),
            inputs.release.eq(feeder.input_release),
            feeder.emit_busy.eq(outputs.busy),
            feeder.emit_read.eq(outputs.read),
            feeder.emit_address.eq(outputs.address),
            outputs.taken.eq(feeder.emit_taken),
            outputs.start.eq(feeder.emit_start),
            outputs.source.eq(feeder.emit_source),
            outputs.words.eq(feeder.emit_words),
            outputs.after.eq(feeder.emit_after),
            outputs.retired.eq(post.retired),
            outputs.word.eq(lanes.word),
            outputs.word_valid.eq(delayed(m, "emit", feeder.vector.emit, Scratchpad.WORD_LATENCY)),
        ]

        # The datapath.
        m.d.comb += [
            weights.read.eq(loader.tag.valid),
            weights.address.eq(loader.address),
            lanes.vector.eq(feeder.vector),
            lanes.tag.eq(delayed(m, "tag", loader.tag, WeightMemory.LATENCY)),
            *(i.eq(o) for i, o in zip(lanes.w, weights.w, strict=True)),
            post.push.eq(feeder.result_push),
            post.result.eq(feeder.result),
            post.pushed.eq(lanes.pushed),
            lanes.index.eq(post.index),
            lanes.beat.eq(post.beat),
            *(i.eq(o) for i, o in zip(post.acc, lanes.acc, strict=True)),
            table.address.eq(post.table),
            *(i.eq(o) for i, o in zip(post.entries, table.entries, strict=True)),
            *(i.eq(o) for i, o in zip(lanes.bytes, post.o, strict=True)),
            feeder.retired.eq(post.retired),
        ]
        return m
