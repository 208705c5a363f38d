"""``make soak``: random networks on random cores under random stalls, for a given time.

Every byte of every layer that a program sends is compared with the reference, every counter of a
run without stalls with the cost model, and between two networks of one core a run is cut off by a
reset. Ends when the time is over and so many packets have passed, or at the first difference.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
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
from sim.device import Device, Stall, Stalls
from tests.campaigns import records
from tests.host.configs import random_config
from tests.host.networks import random_network

NETWORKS = 40
"""Of each core: its simulator takes longer to build than they to run."""

BATCHES = 40
"""Of each network."""

IDLE_LIMIT = 200_000


class Difference(Exception):
    """What differs, in a line that says how to see it again."""


def pieces(words: np.ndarray, last: np.ndarray, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """The same packets, but those of input in more and shorter ones."""
    sent: list[np.ndarray] = []
    longest = random.choice((1, 3, 20, 1_000))
    for packet in np.split(words, np.flatnonzero(last) + 1):
        if not len(packet) or packet[0] >> 24 != Packet.INPUT.value:
            sent += [packet] * bool(len(packet))
            continue
        start = 1
        while start < len(packet):
            piece = packet[start : start + random.randint(1, longest)]
            head = np.array([packets.header(Packet.INPUT, length=len(piece))], np.uint32)
            sent.append(np.concatenate((head, piece)))
            start += len(piece)
    ends = np.cumsum([len(one) for one in sent], dtype=int) - 1
    marks = np.zeros(int(ends[-1]) + 1 if sent else 0, bool)
    marks[ends] = True
    return np.concatenate([*sent, np.zeros(0, np.uint32)]), marks


class Line:
    """A device as a transport of the driver, which counts the packets of both directions.

    ``INPUT`` packets are cut into pieces of random lengths, which must change no byte; but cycles,
    where the cost model is to tell them, are those of the driver's own packets.
    """

    on_progress: Callable[[int], None] | None = None

    def __init__(self, device: Device, counted: Counter[str], random: Random | None) -> None:
        self.device, self.counted, self.random = device, counted, random

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        if self.random is not None:
            words, last = pieces(words, last, self.random)
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


def cut_off(line: Line, program: Program, images: np.ndarray, random: Random) -> None:
    """Starts a run with as much input as there may be, and resets it in mid-run."""
    count = len(images) // program.batch
    words = program.pack(images[: count * program.batch]).ravel()
    ring = [count, program.slot_address, program.slot_bytes // 4, program.slots, len(words)]
    sent = packets.packet(Packet.RUN, ring)
    given = words[: random.randrange(len(words) + 1)]
    if len(given):
        sent += packets.stream(given, random.randint(1, program.config.packet_words))
    line.exchange(sent.words, sent.last, 0)
    line.device.wait(random.randint(0, 3_000))
    reset = packets.packet(Packet.RESET)
    (reply,) = line.exchange(reset.words, reset.last, 1)
    nothing = np.zeros(0, np.uint32)
    while reply[0] != packets.header(Reply.RESET):
        (reply,) = line.exchange(nothing, nothing.astype(bool), 1)


def check(line: Line, program: Program, graph: QGraph, images: np.ndarray) -> None:
    """Runs and compares; AssertionError with the first difference."""
    session = Session(program, line)
    found = session.run_layers(images)
    expected = reference(graph, images, layers=True)
    for name, values in found.items():
        wrong = np.argwhere(values != expected[name])
        assert not len(wrong), f"{name}{wrong[0].tolist()}"
        line.counted["bytes"] += values.size
    assert session.counters is not None
    line.counted["cycles"] += session.counters.cycles
    # Without stalls, and so with the driver's own packets.
    if line.random is None:
        predicted = predict(program, len(images) // program.batch)
        assert predicted.total == session.counters.total, "cycles"


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
        """A random core and its networks, until it is over; Difference when one is not right."""
        cfg = random_config(self.seed)
        stalls = random_stalls(Random(f"stalls {self.seed}"))
        self.counted["cores"] += self.number == 0
        with Device(cfg, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
            while self.number < NETWORKS and not over():
                random = Random(f"network {self.seed} {self.number}")
                line = Line(device, self.counted, None if stalls == Stalls() else random)
                try:
                    self.network(line, cfg, random)
                except Exception as error:
                    again = f"--seed {self.seed} --network {self.number}"
                    raise Difference(
                        f"{type(error).__name__}: {error}; python -m tests.campaigns.soak {again}"
                    ) from error
                self.number += 1
                self.save()
        if self.number == NETWORKS:
            self.seed, self.number = self.seed + 1, 0

    def network(self, line: Line, cfg: Config, random: Random) -> None:
        """One network of the present core."""
        module, inputs = random_network(1_000 * self.seed + self.number, max_size="tiny")
        graph = quantize(module, inputs)
        batch, layers = cfg.lanes * random.choice((1, 1, 2, 3)), random.random() < 0.5
        images = np.resize(inputs.numpy(), (BATCHES * batch, *inputs.shape[1:]))
        try:
            program = compile(graph, cfg, batch=batch, layers=layers)
        except LeptonError:
            self.counted["refused"] += 1
            return
        if random.random() < 0.3:
            Session(program, line)
            cut_off(line, program, graph.input.quantize(images), random)
            self.counted["resets"] += 1
        check(line, program, graph, images)
        self.counted["networks"] += 1
        self.counted["images"] += len(images)

    def save(self) -> None:
        at = (self.seed, self.number)
        self.checkpoint.save({"counted": self.counted, "at": at, "seconds": self.seconds})


def main() -> int:
    """0 when nothing differed; writes benchmarks/soak.json then."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long, at least")
    parser.add_argument("--packets", type=int, default=1_000_000, help="how many, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the first core")
    parser.add_argument("--network", type=int, help="only this one, of that core")
    given = parser.parse_args()
    soak = Soak(given.seed)

    def over() -> bool:
        if given.network is not None:
            return soak.number != given.network
        enough = soak.counted["packets"] >= given.packets
        return enough and soak.seconds >= 60 * given.minutes

    try:
        if given.network is not None:
            soak.seed, soak.number = given.seed, given.network
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
