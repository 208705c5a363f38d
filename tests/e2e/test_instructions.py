"""Programs that no compiler writes: what they do to themselves ends with a reset."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from host.compiler import compile
from hw import isa
from hw.config import Config
from hw.isa import Packet, Reply, Space
from sim import build
from sim.device import Device, Stall, Stalls
from tests.e2e.packet_model import CFG, WIDTH, exchange, identity, packet
from tests.e2e.test_packets import Network, check_run, load, run_packets

FIELDS = [field for field in isa.LAYER if field.name != "op"]
LAYER_WORDS = isa.length(isa.Op.LAYER)

STALLS = {
    "none": Stalls(),
    "random": Stalls(input=Stall(probability=0.3), output=Stall(probability=0.3), seed=11),
}


def with_field(words: np.ndarray, layer: int, field: isa.Field, value: int) -> np.ndarray:
    """A program with one field of one layer instruction changed."""
    changed = words.copy()
    at = layer * LAYER_WORDS + field.word
    mask = ((1 << field.width) - 1) << field.offset
    changed[at] = int(changed[at]) & ~mask & 0xFFFFFFFF | value << field.offset
    return changed


def values(field: isa.Field, rng: np.random.Generator) -> list[int]:
    """The ends of a field's range, its sign, and one value in between."""
    top = 1 << field.width
    return sorted({0, 1, top // 2 - 1, top // 2, top - 1, int(rng.integers(0, top))} - {-1})


def fields_out_of_range(words: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(seed=1)
    for field in FIELDS:
        for value in values(field, rng):
            layer = int(rng.integers(0, 2))
            yield f"{field.name}={value} of {layer}", with_field(words, layer, field, value)


def several_fields(words: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(seed=2)
    for i in range(100):
        changed = words
        for _ in range(int(rng.integers(2, 8))):
            field = FIELDS[rng.integers(0, len(FIELDS))]
            value = int(rng.integers(0, 1 << field.width))
            changed = with_field(changed, int(rng.integers(0, 2)), field, value)
        yield f"several {i}", changed


def noise(words: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """No program at all; often a layer, sometimes without any end up to the end of the memory."""
    rng = np.random.default_rng(seed=3)
    for i in range(100):
        changed = rng.integers(0, 1 << 32, CFG.program_depth, np.uint32)
        layers = slice(0, None, LAYER_WORDS)
        if i % 3:
            changed[layers] = changed[layers] & ~np.uint32(15) | np.uint32(isa.Op.LAYER.value)
        yield f"noise {i}", changed


def cut_programs(words: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """An end, or another instruction, at every word of a program; what is behind it stays."""
    for at in range(len(words)):
        for op in (isa.Op.END.value, isa.Op.LAYER.value, 0xF):
            changed = words.copy()
            changed[at] = changed[at] & ~np.uint32(15) | np.uint32(op)
            yield f"opcode {op} in word {at}", changed


Programs = Callable[[np.ndarray], Iterator[tuple[str, np.ndarray]]]
PROGRAMS: tuple[Programs, ...] = (fields_out_of_range, several_fields, noise, cut_programs)


def memories(device: Device) -> list[list[int]]:
    """What is in all memories that a run does not write."""
    packets = []
    for space, rows in ((Space.PROGRAM, 256), (Space.WEIGHTS, 256), (Space.TABLE, 16)):
        count = CFG.packet_words // WIDTH[space]
        packets += [
            packet(Packet.READ, [row, min(count, rows - row)], space)
            for row in range(0, rows, count)
        ]
    return exchange(device, packets, len(packets))


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("programs", PROGRAMS, ids=lambda f: f.__name__)
def test_a_core_survives_a_program_that_means_nothing(programs, stalls):
    check_survival(CFG, programs, STALLS[stalls])


@pytest.mark.parametrize("programs", [several_fields, noise], ids=lambda f: f.__name__)
def test_so_does_one_with_one_copy_of_the_instruction(programs):
    check_survival(CFG.with_fields({"prefetch": 0}), programs, STALLS["random"])


def check_survival(cfg: Config, programs: Programs, stalls: Stalls) -> None:
    """After each of the programs the core is as it was, and some run the right one in between."""
    network = Network()
    good = compile(network.graph, cfg)
    packets = run_packets(good, network.images)
    rng = np.random.default_rng(seed=4)
    with Device(build.library(cfg), stalls=stalls, idle_limit=20_000) as device:
        load(device, good)
        check_run(device, good, network)
        for number, (what, words) in enumerate(programs(good.words)):
            rows = [int(w) for w in words]
            parts = [rows[i : i + 62] for i in range(0, len(rows), 62)]
            write = [
                packet(Packet.WRITE, [62 * i, len(part), *part]) for i, part in enumerate(parts)
            ]
            exchange(device, [*write, packet(Packet.RESET)], 1)
            before = memories(device)
            exchange(device, packets[: 1 + int(rng.integers(0, len(packets)))], 0)
            device.wait(int(rng.integers(1, 1_500)))
            check_reset(device, cfg, what)
            assert memories(device) == before, what
            if number % 8 == 0:
                load(device, good)
                check_run(device, good, network)
        load(device, good)
        check_run(device, good, network)


def check_reset(device: Device, cfg: Config, what: str) -> None:
    """A reset is answered, and whatever came before it are whole packets, up to the last."""
    replies = exchange(device, [packet(Packet.RESET)], 1)
    while replies[-1] != packet(Reply.RESET):
        replies += exchange(device, [], 1)
    for reply in replies[:-1]:
        kind, length = Reply(reply[0] >> 24), reply[0] & 0xFFFF
        assert kind in (Reply.OUTPUT, Reply.DONE, Reply.ERROR), what
        assert len(reply) == length + 1 or reply is replies[-2], what
    assert exchange(device, [packet(Packet.ID)], 1) == [identity(cfg)], what
