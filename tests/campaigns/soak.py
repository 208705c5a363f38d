"""``make soak``: random networks on random cores under random stalls, for a given time.

Every byte of every layer that a program sends is compared with the reference, every counter of a
run without stalls on a link of 32 or 64 bits with the cost model, and some runs come behind one
that a reset cut off. Ends when the time is over and so many packets have passed, or at the first
difference.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from host import packets
from host.compiler import compile
from host.cost import predict
from host.driver import Session
from host.errors import LeptonError
from host.integer_reference import reference
from host.program import Program
from host.qgraph import QGraph
from host.quantization import quantize
from hw.config import Config
from hw.isa import Packet, Reply
from sim import build
from sim.device import Device, Stall, Stalls
from tests.campaigns import records
from tests.host.configs import random_config
from tests.host.networks import random_network

CASES = 10
"""Of each core: its simulator takes longer to build than a few of them to run."""

NETWORKS = 3
"""Of each case, one after the other on one core."""

RUNS = 2
"""Of each network."""

WORDS = 4_000
"""Of input and output of a run, about; most packets have but a few of them."""

BATCHES = 1_000
"""Of a run, at most."""

IDLE_LIMIT = 200_000


class Difference(Exception):
    """What differs, in a line that says how to see it again."""


INPUT = packets.header(Packet.INPUT)

RESET = packets.header(Reply.RESET)


def pieces(words: np.ndarray, last: np.ndarray, rng: np.random.Generator) -> packets.Words:
    """The same packets; where they are of input, the same input in packets of random lengths."""
    starts = np.flatnonzero(np.concatenate(([True], last[:-1])))[: len(words)]
    if not len(words) or (words[starts] >> 24 != Packet.INPUT.value).any():
        return packets.Words(words, last)
    payload = np.delete(words, starts)
    largest = int(words[starts].max()) & 0xFFFF
    lengths = rng.integers(1, 1 + min(largest, rng.choice([1, 3, 8, largest])), len(payload))
    ends = np.cumsum(lengths)
    ends = np.append(ends[ends < len(payload)], len(payload))
    heads = np.diff(ends, prepend=0).astype(np.uint32) | INPUT
    marks = np.zeros(len(payload) + len(ends), bool)
    marks[ends + np.arange(len(ends))] = True
    return packets.Words(np.insert(payload, ends - np.diff(ends, prepend=0), heads), marks)


class Line:
    """A device as a transport of the driver, which counts the packets of both directions.

    ``INPUT`` packets are cut into pieces of random lengths, which must change no byte; but cycles,
    where the cost model is to tell them, are those of the driver's own packets.
    """

    on_progress: Callable[[int], None] | None = None

    def __init__(
        self, device: Device, counted: Counter[str], rng: np.random.Generator | None
    ) -> None:
        self.device, self.counted, self.rng = device, counted, rng

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        if self.rng is not None:
            cut = pieces(words, last, self.rng)
            words, last = cut.words, cut.last
        came = self.device.exchange(words, last, packets)
        self.counted["packets"] += int(np.count_nonzero(last)) + len(came)
        return came

    def cycles_to(self, packet: int) -> int | None:
        return None

    def close(self) -> None:
        """The campaign closes it."""


def random_stalls(random: Random) -> Stalls:
    """None at all in a quarter of the draws; else of one side or of both, mild or nearly shut."""
    if random.random() < 0.25:
        return Stalls()

    def side() -> Stall:
        kind = random.choice(("never", "share", "share", "every"))
        if kind == "share":
            return Stall(probability=random.choice((0.1, 0.5, 0.9)))
        return Stall(every=random.randint(2, 5)) if kind == "every" else Stall()

    return Stalls(input=side(), output=side(), seed=random.randint(0, 1 << 30))


def drawn(
    program: Program, graph: QGraph, inputs: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int8 images of a run: like those that calibrated the network, or any bytes."""
    one = np.zeros((program.batch, *program.input_shape), np.int8)
    words = program.pack(one).size + 2 * len(program.outputs)
    shape = (min(BATCHES, 1 + WORDS // words) * program.batch, *program.input_shape)
    if rng.random() < 0.5:
        return rng.integers(-128, 128, shape, np.int8)
    return graph.input.quantize(inputs)[rng.integers(0, len(inputs), shape[0])]


def cut_off(line: Line, program: Program, images: np.ndarray, random: Random) -> None:
    """Starts a run with as much input as there may be, and resets it in mid-run."""
    count = len(images) // program.batch
    words = program.pack(images[: count * program.batch]).ravel()
    ring = [count, program.slot_address, program.slot_bytes // 4, program.slots, len(words)]
    start = packets.packet(Packet.RUN, ring)
    line.exchange(start.words, start.last, 0)
    given = words[: random.randrange(len(words) + 1)]
    if len(given):
        sent = packets.stream(given, program.config.packet_words)
        line.exchange(sent.words, sent.last, 0)
    line.device.wait(random.randint(0, 3_000))
    reset = packets.packet(Packet.RESET)
    (reply,) = line.exchange(reset.words, reset.last, 1)
    nothing = np.zeros(0, np.uint32)
    while reply[0] != RESET:
        (reply,) = line.exchange(nothing, nothing.astype(bool), 1)


def check(line: Line, session: Session, graph: QGraph, images: np.ndarray) -> None:
    """Runs and compares; AssertionError with the first difference."""
    program = session.program
    found = session.run_layers(images)
    expected = reference(graph, images, layers=True)
    for name, values in found.items():
        wrong = np.argwhere(values != expected[name])
        assert not len(wrong), f"{name}{wrong[0].tolist()}"
        line.counted["bytes"] += values.size
    counters = session.counters
    assert counters is not None
    line.counted["cycles"] += counters.cycles
    # Without stalls, and so with the driver's own packets, over a link that the model knows.
    if line.rng is None and program.config.link_width >= 32:
        predicted = predict(program, len(images) // program.batch).counted_by(program.config)
        assert predicted.total == counters.total, "cycles"
        assert (predicted.stamps == counters.stamps).all(), "stamps"
        assert not counters.layers or predicted.layers == counters.layers, "cycles of layers"


class Soak:
    """The campaign: what was counted so far, and where it goes on."""

    def __init__(self, seed: int) -> None:
        self.checkpoint = records.Checkpoint("soak", seed)
        before = self.checkpoint.load()
        self.counted = Counter[str](before.get("counted", {}))
        self.seed, self.number = before.get("at", (seed, 0))
        self.start = time.monotonic() - before.get("seconds", 0)

    @property
    def seconds(self) -> int:
        return round(time.monotonic() - self.start)

    def core(self, over: Callable[[], bool]) -> None:
        """A random core and its cases, until it is over; Difference when one is not right."""
        cfg = random_config(self.seed)
        library = build.library(cfg)
        self.counted["cores"] += self.number == 0
        while self.number < CASES and not over():
            try:
                self.case(library, cfg)
            except Exception as error:
                again = f"--seed {self.seed} --case {self.number}"
                raise Difference(
                    f"{type(error).__name__}: {error}; python -m tests.campaigns.soak {again}"
                ) from error
            self.number += 1
            self.save()
        if self.number == CASES:
            self.seed, self.number = self.seed + 1, 0

    def case(self, library: Path, cfg: Config) -> None:
        """Several networks, one after the other, under one pattern of stalls."""
        random = Random(f"case {self.seed} {self.number}")
        rng = np.random.default_rng([self.seed, self.number])
        stalls = random_stalls(random)
        with Device(library, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
            line = Line(device, self.counted, None if stalls == Stalls() else rng)
            for _ in range(NETWORKS):
                self.network(line, cfg, random, rng)

    def network(self, line: Line, cfg: Config, random: Random, rng: np.random.Generator) -> None:
        """Runs of one network, some of them behind one that is cut off."""
        module, inputs = random_network(random.randrange(1 << 30), max_size="tiny")
        graph = quantize(module, inputs, multiplier_width=cfg.multiplier_width)
        batch, layers = cfg.lanes * random.choice((1, 1, 2, 3)), random.random() < 0.5
        try:
            program = compile(graph, cfg, batch=batch, layers=layers)
        except LeptonError:
            self.counted["refused"] += 1
            return
        session = Session(program, line)
        for _ in range(RUNS):
            images = drawn(program, graph, inputs.numpy(), rng)
            # Memories stay: the next run needs no other program.
            if random.random() < 0.3:
                cut_off(line, program, images, random)
                self.counted["resets"] += 1
            check(line, session, graph, images)
            self.counted["images"] += len(images)
        self.counted["networks"] += 1

    def save(self) -> None:
        at = (self.seed, self.number)
        self.checkpoint.save({"counted": self.counted, "at": at, "seconds": self.seconds})


def main() -> int:
    """0 when nothing differed; writes benchmarks/soak.json then."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long, at least")
    parser.add_argument("--packets", type=int, default=1_000_000, help="how many, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the first core")
    parser.add_argument("--case", type=int, help="only this one, of that core")
    given = parser.parse_args()
    soak = Soak(given.seed)

    def over() -> bool:
        if given.case is not None:
            return soak.number != given.case
        enough = soak.counted["packets"] >= given.packets
        return enough and soak.seconds >= 60 * given.minutes

    try:
        if given.case is not None:
            soak.seed, soak.number = given.seed, given.case
            soak.save = lambda: None
            soak.core(over)
            print("it does not differ")
            return 0
        while not over():
            soak.core(over)
            told = ", ".join(f"{value:,} {name}" for name, value in soak.counted.items())
            print(f"{soak.seconds} s: {told}", flush=True)
    except Difference as error:
        print(f"DIFFERENT: {error}", file=sys.stderr)
        return 1
    soak.checkpoint.remove()
    command = f"make soak MINUTES={given.minutes:g} PACKETS={given.packets} SEED={given.seed}"
    found = {"seconds": soak.seconds, "seed": given.seed, "different": 0, **soak.counted}
    records.write("soak", command, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
