"""Bench of the whole core: networks layer by layer, under stalls, and after resets in mid-run."""

from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.task import bridge
from cocotb.triggers import ClockCycles

from host import packets
from host.driver import Session
from host.errors import LeptonError
from hw.isa import Packet, Reply
from sim.bench import axi, cases, link, models
from sim.bench.cases import Network
from sim.bench.link import PERIOD, Exchanges, Transport
from sim.bench.run import read_case
from sim.bench.stalls import pauses

LIMIT = 20_000_000 * PERIOD
"""More than any case takes; a link that stands still is noticed long before."""


async def begin(dut: Any, case: dict[str, Any]) -> Exchanges:
    """The core of a case, its link stalled as the case wants."""
    of_input, of_output = case["stalls"]
    seed = case["seed"]
    start = axi.start if case["axi"] else link.start
    return await start(dut, (pauses(of_input, seed), pauses(of_output, seed + 1)))


async def check(to: Exchanges, network: Network) -> tuple[int, int]:
    """Runs a network and compares every layer: bytes that are equal, cycles that it took."""
    try:
        found, cycles = await run(to, network)
    except LeptonError as error:
        raise AssertionError(f"{network.name}: {error}") from None
    wrong = models.difference(found, network.expected)
    assert not wrong, f"{network.name}: {wrong}"
    last = list(network.expected)[-1]
    assert last in found, f"{network.name}: the output {last} did not come"
    return sum(values.size for values in found.values()), cycles


@bridge
def run(to: Exchanges, network: Network) -> tuple[dict[str, np.ndarray], int]:
    """Loads and runs a network as any program would, through the driver: layers and cycles."""
    session = Session(network.program, Transport(to))
    found = session.run_layers(network.images)
    assert session.counters is not None
    return found, session.counters.cycles


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def layers_equal_the_reference(dut) -> None:
    case = read_case()
    to = await begin(dut, case)
    for network in map(cases.read, case["networks"]):
        compared, cycles = await check(to, network)
        images = len(network.images)
        dut._log.info(f"{network.name}: {images} images, {compared} bytes equal, {cycles} cycles")


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def a_run_after_a_reset_in_mid_run_is_right(dut) -> None:
    case = read_case()
    to = await begin(dut, case)
    random = Random(case["seed"])
    for network in map(cases.read, case["networks"]):
        _, cycles = await check(to, network)
        for _ in range(case["resets"]):
            await interrupt(to, network, random, cycles)
            await check(to, network)


async def interrupt(to: Exchanges, network: Network, random: Random, cycles: int) -> None:
    """Starts a run that takes so many cycles; ends it at any time, by a packet or by the wire."""
    program, images = network.program, network.images
    batches = len(images) // program.batch
    words = program.pack(images[: batches * program.batch]).ravel()
    ring = [batches, program.slot_address, program.slot_bytes // 4, program.slots, len(words)]
    sent = packets.packet(Packet.RUN, ring)
    # A run that does not get all of its input waits for the rest, with all before it at work.
    given = words[: random.choice((len(words), random.randrange(len(words))))]
    if len(given):
        sent += packets.stream(given, random.randint(1, program.config.packet_words))
    await to.exchange(sent.words, sent.last, 0)
    await ClockCycles(to.clk, random.randint(1, cycles))
    if random.random() < 0.5:
        await to.reset()
    else:
        await reset_by_packet(to)


async def reset_by_packet(to: Exchanges) -> None:
    """Drops all packets up to the answer; what was being sent may be cut off."""
    sent = packets.packet(Packet.RESET)
    await to.exchange(sent.words, sent.last, 0)
    for _ in range(MOST_PACKETS):
        (reply,) = await to.exchange(NOTHING.words, NOTHING.last, 1)
        if reply[0] == packets.header(Reply.RESET):
            return
    raise AssertionError("no answer to a reset")


NOTHING = packets.Words(np.zeros(0, np.uint32), np.zeros(0, bool))

MOST_PACKETS = 1_000
"""More than any run here sends."""
