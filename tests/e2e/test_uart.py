"""Networks over a serial line: the gateware in Verilator behind a pseudo-terminal."""

import os
import re
import threading
import time
import tty
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import host
from host import packets
from host.errors import LeptonError
from host.transports import uart
from host.transports.uart import UART
from hw.config import named
from hw.isa import Packet, Reply
from sim.serial import Noise, SerialCore

TINY = named("tiny")


@pytest.fixture(scope="module")
def network():
    """A small program, images, and what comes out."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 3 * 3, 5),
    ).eval()
    graph = host.quantize(module, torch.rand(64, 1, 12, 12))
    images = torch.rand(20, 1, 12, 12).numpy()
    return host.compile(graph, TINY), images, host.reference(graph, images)


def run_for_long(session, images):
    for _ in range(1000):
        session.run(images)


def serial_core(*, slots: Any = 8, **noise: Any):
    return SerialCore(TINY, divisor=8, slots=slots, noise=Noise(**noise) if noise else None)


def test_inferences_are_right_and_no_frame_is_missed_on_a_good_line(network):
    program, images, expected = network
    with serial_core() as core:
        transport = UART(core.port)
        with host.Session(program, transport) as session:
            for _ in range(2):
                assert (session.run(images) == expected).all()
        assert transport.connection.damaged == 0


@pytest.mark.parametrize("seed", range(3), ids="seed={}".format)
@pytest.mark.parametrize("fault", ["drop", "flip", "double"])
def test_inferences_are_right_on_a_noisy_line(network, fault, seed):
    program, images, expected = network
    with serial_core(**{fault: 0.002}, seed=seed) as core:
        transport = UART(core.port)
        with host.Session(program, transport) as session:
            assert (session.run(images) == expected).all()
        assert transport.connection.damaged or transport.connection.repeated


@pytest.mark.parametrize("seed", range(3), ids="seed={}".format)
def test_inferences_are_right_when_bytes_are_dropped_flipped_and_doubled_at_once(network, seed):
    program, images, expected = network
    with serial_core(drop=0.001, flip=0.001, double=0.001, seed=seed) as core:
        transport = UART(core.port)
        with host.Session(program, transport) as session:
            for _ in range(2):
                assert (session.run(images) == expected).all()
        assert transport.connection.damaged
        assert transport.connection.repeated


def test_inferences_are_right_with_half_of_the_slots(network):
    """As on the iCEBreaker, where block RAM is short."""
    program, images, expected = network
    damage: dict[str, Any]
    for damage in ({}, {"drop": 0.001, "flip": 0.001, "double": 0.001}):
        with serial_core(slots=4, **damage) as core:
            transport = UART(core.port)
            with host.Session(program, transport) as session:
                assert (session.run(images) == expected).all()
                limit = transport.connection.limit - transport.connection.oldest
            assert limit == 4
            assert bool(transport.connection.damaged) == bool(damage)


def test_on_any_line_an_inference_is_right_or_ends_in_an_error(network):
    """All kinds of damage at once, from rates that hardly matter to those that nothing survives."""
    program, images, expected = network
    rng = np.random.default_rng(1)
    right, errors = 0, []
    for seed, worst in enumerate((0.001, 0.003, 0.01, 0.1)):
        drop, flip, double = rng.uniform(0.3 * worst, worst, 3)
        with serial_core(drop=drop, flip=flip, double=double, seed=seed) as core:
            try:
                with host.Session(program, UART(core.port, patience_s=5)) as session:
                    found = session.run(images)
            except LeptonError as error:
                errors.append(str(error))
            else:
                assert (found == expected).all(), f"seed {seed}: {drop}, {flip}, {double}"
                right += 1
    assert right >= 2
    assert errors
    assert not any("\n" in said for said in errors)


def test_a_line_that_is_too_bad_ends_in_an_error(network):
    program, images, _ = network
    with (
        serial_core(drop=0.1, flip=0.1, double=0.1) as core,
        pytest.raises(LeptonError, match=r"was lost: nothing answers|no Lepton answers|nothing"),
    ):
        host.Session(program, f"uart:{core.port}").run(images)


def test_a_core_that_is_reset_in_mid_run_ends_the_run_and_a_new_session_works(network):
    program, images, expected = network
    with serial_core() as core:
        with host.Session(program, f"uart:{core.port}") as session:
            timer = threading.Timer(0.3, core.reset)
            timer.start()
            with pytest.raises(LeptonError, match="the hardware was reset"):
                run_for_long(session, images)
            with pytest.raises(LeptonError, match="is broken; open a new session"):
                session.run(images)
        with host.Session(program, f"uart:{core.port}") as session:
            assert (session.run(images) == expected).all()


def test_a_host_that_died_in_mid_run_is_forgotten(network):
    program, images, expected = network
    with serial_core() as core:
        with host.Session(program, f"uart:{core.port}") as session:
            words = program.pack(np.zeros((4, 1, 12, 12), np.int8)).ravel()
            run = [4, program.slot_address, program.slot_bytes // 4, program.slots, len(words)]
            sent = packets.packet(Packet.RUN, run) + packets.stream(words[:-3], 255)
            (first,) = session.transport.exchange(sent.words, sent.last, 1)
            assert packets.read(first, Reply.OUTPUT).size
        with host.Session(program, f"uart:{core.port}") as session:
            assert (session.run(images) == expected).all()


def test_a_plug_that_is_pulled_is_noticed(network):
    program, images, _ = network
    core = serial_core()
    session = host.Session(program, f"uart:{core.port}")
    threading.Timer(0.3, core.close).start()
    with pytest.raises(LeptonError, match="was lost"):
        run_for_long(session, images)
    session.close()


def test_the_largest_packets_pass(network):
    program, _, _ = network
    with serial_core() as core, host.Session(program, f"uart:{core.port}") as session:
        values = np.random.default_rng(1).integers(0, 1 << 32, 253, np.uint32)
        sent = packets.write(packets.Space.SCRATCHPAD, 0, values.reshape(-1, 1), 255)
        sent += packets.packet(Packet.READ, [0, 253], packets.Space.SCRATCHPAD)
        (reply,) = session.transport.exchange(sent.words, sent.last, 1)
        assert packets.read(reply, Reply.DATA).tolist() == values.tolist()


def test_hardware_that_waits_for_ever_is_given_up(network):
    program, _, _ = network
    with serial_core() as core:
        transport = UART(core.port, patience_s=0.5)
        with host.Session(program, transport):
            nothing = np.zeros(0, np.uint32)
            with pytest.raises(LeptonError, match=r"answers, but nothing has moved for .* 0 of 1"):
                transport.exchange(nothing, nothing.astype(bool), 1)


def test_hardware_of_another_configuration_is_refused(network):
    program = network[0]
    other = host.Program(**{**vars(program), "config": TINY.with_fields({"rows": 4})})
    with (
        serial_core() as core,
        pytest.raises(LeptonError, match="for other hardware: rows is 3 and should be 4"),
    ):
        host.Session(other, f"uart:{core.port}")


def test_a_port_is_used_by_one_program(network):
    with serial_core() as core, host.Session(network[0], f"uart:{core.port}"):
        with pytest.raises(LeptonError, match="another program is using it"):
            UART(core.port)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("uart:/dev/no-such-port", {}, "there is no such port; .*"),
        ("uart:", {}, r"is uart:PORT"),
        ("uart:/dev/ptmx", {"baud": -1}, "no rate of -1 baud"),
        ("uart:x", {"waves": "w.fst"}, "waves are of the simulated core"),
        ("sim", {"baud": 9600}, "a baud rate goes with a target uart:PORT"),
        ("usb", {}, "no target is named 'usb'; there are sim, uart:PORT"),
    ],
    ids=["missing", "no name", "baud", "waves", "sim", "unknown"],
)
def test_a_target_that_cannot_be_had_is_refused(network, target, options, message):
    with pytest.raises(LeptonError, match=message):
        host.Session(network[0], target, **options)


@pytest.mark.parametrize("says", [b"", b"\x80\xf8\x00" * 50], ids=["nothing", "wrong baud"])
def test_what_is_no_lepton_is_named(says, monkeypatch):
    master, slave = os.openpty()
    tty.setraw(slave)
    monkeypatch.setattr(uart, "OPENINGS", 1)
    timer = threading.Timer(0.1, os.write, [master, says])
    timer.start()
    start = time.monotonic()
    try:
        with pytest.raises(LeptonError, match=r"no Lepton answers on .*at 115200 baud") as error:
            UART(os.ttyname(slave), baud=115200)
    finally:
        timer.join()
        os.close(master)
        os.close(slave)
    assert time.monotonic() - start < 5
    assert re.search("150 bytes came that make no sense" if says else "nothing came", str(error))
