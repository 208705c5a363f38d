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
from hw.isa import Packet, Reply
from sim.device import Device, Stall, Stalls
from tests.campaigns import records
from tests.host.configs import random_config
from tests.host.networks import random_network

NETWORKS = 40
"""Of each core: its simulator takes longer to build than they to run."""

IMAGES = 40
"""Batches of each network."""

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
    ring = [count, 0, program.slot_bytes // 4, program.slots, len(words)]
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


def check(
    line: Line, program: Program, graph: QGraph, images: np.ndarray, predictable: bool
) -> None:
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
    if predictable and len(images) % program.batch == 0:
        predicted = predict(program, len(images) // program.batch)
        assert predicted.total == session.counters.total, "cycles"


def soak_core(seed: int, deadline: float, counted: Counter[str]) -> None:
    """One random core and its networks; Difference at the first that is not right."""
    cfg = random_config(seed)
    random = Random(f"soak {seed}")
    stalls = random_stalls(random)
    counted["cores"] += 1
    with Device(cfg, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
        line = Line(device, counted, None if stalls == Stalls() else random)
        for number in range(NETWORKS):
            module, inputs = random_network(1_000 * seed + number, max_size="tiny")
            graph = quantize(module, inputs)
            batch, layers = cfg.lanes * random.choice((1, 1, 2, 3)), random.random() < 0.5
            images = np.resize(inputs.numpy(), (IMAGES * batch, *inputs.shape[1:]))
            interrupted = random.random() < 0.3
            try:
                program = compile(graph, cfg, batch=batch, layers=layers)
            except LeptonError:
                counted["refused"] += 1
                continue
            try:
                if interrupted and counted["networks"]:
                    Session(program, line)
                    cut_off(line, program, graph.input.quantize(images), random)
                    counted["resets"] += 1
                check(line, program, graph, images, predictable=stalls == Stalls())
            except Exception as error:
                again = f"python -m tests.campaigns.soak --seed {seed} --cores 1"
                raise Difference(
                    f"{type(error).__name__}: {error}; network {number} of {again}; {cfg}"
                ) from error
            counted["networks"] += 1
            counted["images"] += len(images)
            if time.monotonic() > deadline:
                return


def main() -> int:
    """0 when nothing differed; writes benchmarks/soak.json then."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long, at least")
    parser.add_argument("--packets", type=int, default=1_000_000, help="how many, at least")
    parser.add_argument("--cores", type=int, default=10_000, help="how many, at most")
    parser.add_argument("--seed", type=int, default=1, help="of the first core")
    given = parser.parse_args()
    checkpoint = records.Checkpoint("soak", given.minutes, given.packets, given.cores, given.seed)
    before = checkpoint.load()
    counted, seed = Counter[str](before.get("counted", {})), before.get("seed", given.seed)
    start = time.monotonic() - before.get("seconds", 0)
    deadline = start + 60 * given.minutes
    while seed < given.seed + given.cores:
        enough = counted["packets"] >= given.packets
        if enough and time.monotonic() > deadline:
            break
        try:
            soak_core(seed, np.inf if not enough else deadline, counted)
        except Difference as error:
            print(f"DIFFERENT: {error}", file=sys.stderr)
            return 1
        seed += 1
        seconds = round(time.monotonic() - start)
        checkpoint.save({"counted": counted, "seed": seed, "seconds": seconds})
        told = ", ".join(f"{value:,} {name}" for name, value in counted.items())
        print(f"{seconds} s: {told}", flush=True)
    checkpoint.remove()
    seconds = round(time.monotonic() - start)
    command = f"make soak MINUTES={given.minutes:g} PACKETS={given.packets} SEED={given.seed}"
    found = {"seconds": seconds, "seed": given.seed, "different": 0, **counted}
    if given.cores >= 10_000:
        records.write("soak", command, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
