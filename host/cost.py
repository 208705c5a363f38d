"""The cost model: cycles and stalls of a program, from its words alone, as the counters have them.

It follows the hardware pass by pass and result by result, not cycle by cycle; docs/architecture.md
says where each number comes from. The host is taken to send and receive whenever the core does.
"""

import numpy as np

from host.activity import Activity, Events
from host.driver import Counters, LayerCycles
from host.latencies import result_latency, retire
from host.link_cycles import (
    PACKET_HEADER,
    READ_TO_STAMP,
    Arrivals,
    latency,
    read_cycles,
    send_cycles,
    word_beats,
)
from host.program import Program
from hw import isa
from hw.feeder import Feeder
from hw.inputs import Inputs
from hw.sequencer import Sequencer

WEIGHTS, INPUT, DEPENDENCY, POST, OUTPUT, PROGRAM = range(2, 8)
"""Places of the stalls in `isa.COUNTERS`."""
CYCLES, FED = 0, 1


def predict(program: Program, batches: int = 3, activity: Activity | None = None) -> Counters:
    """Counters of a run of so many batches, as `Session.counters` would have them of a core with
    all counters.

    `activity`, if given, is filled with what the parts of the machine did when.
    """
    return _Model(program, batches, activity or Activity()).run()


class _Input:
    """When input slots are full: packets go one behind the other through the decoder."""

    def __init__(self, program: Program, words: int, writes: Events, taken: Events) -> None:
        self.program, self.words, self.taken = program, words, taken
        self.writes, self.write = writes, 0
        """Cycles in which results are written instead, and the first that may still be to come."""
        self.word, self.time = 0, 1
        """The next word of the run, and when it, or its packet's header, can be taken."""
        self.released: list[int] = []
        """When each slot was free, behind its last vector."""
        self.arrivals = Arrivals(program.config, program.slots)

    def full(self, slot: int) -> int:
        """The cycle from which on the slot counts as full; slots are asked for in order."""
        program, longest = self.program, self.program.config.packet_words
        stop = (slot + 1) * program.slot_words
        free = 0
        if slot >= program.slots:
            free = self.released[slot - program.slots] + Inputs.RELEASE + 1
        full = self.time
        while self.word < stop:
            packet, at = divmod(self.word, longest)
            size = min(longest, self.words - packet * longest)
            if at == 0:
                header = max(self.time, self.arrivals.packet(size))
                self.arrivals.take(header, header + 1)
                self.time = header + PACKET_HEADER
            take = min(stop - self.word, size - at)
            self.time = self._take(max(self.time, free), take)
            self.word += take
            full = self.time
            if at + take == size:
                self.time += 1
        return full

    def _take(self, now: int, words: int) -> int:
        """The cycle behind the last of so many words, of which the first can be taken `now`."""
        starts, stops = self.writes.starts, self.writes.stops
        while words:
            while self.write < len(stops) and stops[self.write] <= now:
                self.write += 1
            begin = starts[self.write] if self.write < len(starts) else now + words
            if begin <= now:
                now = stops[self.write]
                continue
            count = min(words, begin - now)
            self.taken.add(now, now + count)
            self.arrivals.take(now, now + count)
            now, words = now + count, words - count
        return now


class _Model:
    """The hardware between two vectors. Cycle 0 is the one that starts the run."""

    def __init__(self, program: Program, batches: int, activity: Activity) -> None:
        self.program, self.batches, self.activity = program, batches, activity
        cfg = program.config
        self.layers = [v for op, v in isa.decode(program.words.tolist()) if op is isa.Op.LAYER]
        slots = program.slots_per_batch * batches
        self.writes = Events()
        self.input = _Input(program, slots * program.slot_words, self.writes, activity.input)
        self.latency, self.retire = result_latency(cfg), retire(cfg)
        self.value = cfg.requant_cycles
        self.load, self.depth = cfg.load_cycles, cfg.result_depth
        self.events = activity.counted
        self.retired = [-1]
        """When each result's last byte was written, counted from 1."""
        self.post_free = 0
        self.timer = 0
        """When the next pass may start without reading a sum before it is written."""
        self.steals: list[int] = []
        """Cycles in which a word of output is read."""
        self.steal = 0
        self.busy_until = 0
        """Last cycle in which an output was being sent."""
        self.stamps: list[int] = []
        self.takes: list[int] = []

    def run(self) -> Counters:
        end = swap = take = freed = 0
        valid = Sequencer.FETCH
        for number in range(len(self.layers) * self.batches):
            # The loader copies an instruction with the last swap before, or once it is there; the
            # feeder a cycle later, behind the last vector before at the earliest.
            loaded = swap if number and valid <= swap else max(valid, swap + 1)
            take = max(loaded + 1, end + 1)
            self._wait(PROGRAM, end + 1, take + 1)
            self.takes.append(take)
            self._load(loaded)
            index = number % len(self.layers)
            end, swap = self._layer(self.layers[index], take + 1, loaded + self.load)
            self.activity.layers.add(take + 1, end + 1)
            # The next instruction is fetched while this one is at work, or behind it.
            freed = take if self.program.config.prefetch else end + Feeder.FREED
            valid = freed + Sequencer.FETCH
            if index == len(self.layers) - 1:
                valid += Sequencer.END_FETCH
        done = max(
            freed + Sequencer.END_FETCH + 1, end + 1, self.retired[-1] + 1, self.busy_until + 1
        )
        # The host is told, behind the time stamp of the last output.
        cycles = max(done + 1, self.busy_until + word_beats(self.program.config))
        self._wait(PROGRAM, end + 1, cycles + 1)
        return self._counters(cycles)

    def _layer(self, layer: dict[str, int], now: int, ready: int) -> tuple[int, int]:
        """Feeds a layer from `now` on; returns when its last vector and its last pass started."""
        count = {n: layer[f"{n}_last"] + 1 for n in isa.LEVELS}
        window = count["window_x"] * count["window_y"]
        results = count["x"] * count["y"]
        issued = len(self.retired) - 1
        now = self._until(WEIGHTS, now, ready)
        if layer["wait_input"]:
            now = self._until(INPUT, now, self.input.full(len(self.input.released)))
        emits = layer["emit_words"]
        first_free = self.busy_until + 1 if layer["wait_emit"] or emits else 0
        start = 0
        sums = count["kernel_y"] * count["slice"]
        allow = layer["allow"] - ((layer["allow"] >> 15) << 16)
        for block in range(count["block"]):
            for k in range(sums):
                for tile in range(count["tile"]):
                    now = self._until(WEIGHTS, now, ready)
                    pending = issued - max(allow, 0)
                    read = self.retired[pending] + 1 if pending > 0 else 0
                    now = self._until(DEPENDENCY, now, max(read, self.timer))
                    if k == sums - 1 and window == 1:
                        now = self._until(POST, now, self._credit())
                    now = self._until(OUTPUT, now, first_free)
                    first_free = 0
                    tail = tile == count["tile"] - 1
                    beats = layer["tail_beats_last" if tail else "beats_last"] + 1
                    start, now = self._pass(now, results, window, k == sums - 1, beats)
                    ready = start + self.load
                    if not (tail and k == sums - 1 and block == count["block"] - 1):
                        self._load(start)
                    stalled = now - start - results * window
                    self.timer = start + layer["pass_min"] + 1 + stalled
                if k < sums - 1:
                    name = "slice" if (k + 1) % count["slice"] else "kernel_y"
                    allow += layer[f"allow_{name}"]
            if block < count["block"] - 1:
                allow += layer["allow_block"]
        end = now - 1
        if layer["release_input"]:
            self.input.released.append(end + 1)
        if emits:
            self._emit(end, emits)
        return end, start

    def _pass(self, now: int, results: int, window: int, last: bool, beats: int) -> tuple[int, int]:
        """Feeds a pass; returns when its first vector went and the cycle behind its last one."""
        if not last:
            return self._feed(now, results * window)
        first = None
        for _ in range(results):
            if window > 1:
                begun, now = self._feed(now, window - 1)
                first = begun if first is None else first
            now = self._until(POST, now, self._credit())
            sent, now = self._feed(now, 1)
            first = sent if first is None else first
            begin = max(sent + self.latency, self.post_free)
            self.post_free = begin + beats * self.value
            written = begin + self.retire
            self.retired.append(written + (beats - 1) * self.value)
            if self.value == 1:
                self.writes.add(written, written + beats)
            else:
                for write in range(written, written + beats * self.value, self.value):
                    self.writes.add(write, write + 1)
            self.activity.post.add(begin, self.post_free)
        assert first is not None
        return first, now

    def _load(self, freed: int) -> None:
        """A tile is loaded behind the cycle in which the shadow is free."""
        self.activity.loads.add(freed + 1, freed + 1 + self.load)

    def _credit(self) -> int:
        """When there is room for one more result."""
        oldest = len(self.retired) - self.depth
        return self.retired[oldest] + 1 if oldest > 0 else 0

    def _feed(self, now: int, vectors: int) -> tuple[int, int]:
        """Sends vectors, one each cycle that no word of output takes."""
        now = self._until(OUTPUT, now, now)
        first = now
        while vectors:
            stop = now + vectors
            if self.steal < len(self.steals):
                stop = min(stop, self.steals[self.steal])
            self.events[FED].add(now, stop)
            vectors -= stop - now
            now = stop
            if vectors:
                now = self._until(OUTPUT, now, now)
        return first, now

    def _until(self, cause: int, now: int, ready: int) -> int:
        """Waits for `ready`, and, if that is what it waits for, for words of output."""
        self.events[cause].add(now, ready)
        now = max(now, ready)
        if cause == OUTPUT:
            while self.steal < len(self.steals) and self.steals[self.steal] <= now:
                if self.steals[self.steal] == now:
                    self.events[OUTPUT].add(now, now + 1)
                    now += 1
                self.steal += 1
        return now

    def _wait(self, cause: int, start: int, stop: int) -> None:
        """Nothing to feed: words of output are what counts in their cycles."""
        while start < stop:
            while self.steal < len(self.steals) and self.steals[self.steal] < start:
                self.steal += 1
            there = self.steal < len(self.steals) and self.steals[self.steal] < stop
            until = self.steals[self.steal] if there else stop
            self.events[cause].add(start, until)
            if there:
                self.events[OUTPUT].add(until, until + 1)
            start = until + 1

    def _emit(self, end: int, words: int) -> None:
        """Schedules an output: it waits for all results so far, then reads word by word."""
        header = max(end + 2, self.retired[-1] + 1) + 1
        cfg = self.program.config
        reads = [header + 1 + read_cycles(cfg) * i for i in range(words)]
        self.steals += reads
        self.busy_until = reads[-1] + send_cycles(cfg)
        self.activity.output.add(header, self.busy_until + 1)
        self.stamps.append(reads[-1] + READ_TO_STAMP - 1)

    def _counters(self, cycles: int) -> Counters:
        program = self.program
        times = np.array([*self.takes[-len(self.layers) :], cycles + 1])
        trace = np.stack([e.before(times) for e in self.events], axis=1)
        trace[:, CYCLES] = times - 1
        by_layer = np.zeros((len(program.layers), len(isa.COUNTERS)), np.int64)
        np.add.at(by_layer, list(program.instruction_layers), np.diff(trace, axis=0))
        per_batch = len(program.outputs)
        first_end = self.stamps[per_batch - 1]
        return Counters(
            dict(zip(isa.COUNTERS, trace[-1].tolist(), strict=True)),
            self.batches,
            program.batch,
            np.array(self.stamps[per_batch - 1 :: per_batch], np.int64),
            tuple(
                LayerCycles(
                    info.name,
                    info.macs * program.batch,
                    dict(zip(isa.COUNTERS, row.tolist(), strict=True)),
                )
                for info, row in zip(program.layers, by_layer, strict=True)
            ),
            latency(program.config, first_end, program.slots),
        )
