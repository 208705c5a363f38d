"""sim/device.py and sim/harness.cpp"""

import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sim import build
from sim.device import Device, Stall, Stalls
from sim.errors import SimulationError
from tests.sim.cores import echo_verilog

DTYPES = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}

STALLS = {
    "none": Stalls(),
    "every third": Stalls(input=Stall(every=3), output=Stall(every=3)),
    "random": Stalls(input=Stall(probability=0.5), output=Stall(probability=0.5), seed=5),
    "slow input": Stalls(input=Stall(probability=0.9), seed=6),
    "slow output": Stalls(output=Stall(probability=0.9), seed=7),
    "output shut": Stalls(output=Stall(window=(10, 500))),
    "patient output": Stalls(output=Stall(patient=True)),
}


@pytest.fixture(scope="module")
def echo():
    return build.compile_library(echo_verilog(32))


def packets(lengths, seed, width=32):
    """Random packets of so many words, none of whose beats is all ones."""
    rng = np.random.default_rng(seed)
    dtype = DTYPES[width]
    words = [
        rng.integers(0, np.iinfo(dtype).max, n * 32 // width, dtype).view(np.uint32)
        for n in lengths
    ]
    last = np.zeros(sum(lengths), bool)
    last[np.cumsum(lengths) - 1] = True
    return words, np.concatenate(words), last


def echoed(words, width=32):
    """What the echo core makes of a packet."""
    return (words.view(DTYPES[width]) + DTYPES[width](1)).view(np.uint32)


@pytest.mark.parametrize("stalls", STALLS.values(), ids=STALLS)
def test_packets_come_back_whole_and_in_order(echo, stalls):
    sent, words, last = packets([1, 2, 17, 100, 1, 33], seed=1)
    with Device(echo, stalls=stalls) as device:
        for _ in range(2):
            for packet, answer in zip(sent, device.exchange(words, last, 6), strict=True):
                assert answer.tolist() == echoed(packet).tolist()


@pytest.mark.parametrize("width", [8, 16, 64], ids="width={}".format)
def test_words_are_made_of_beats_least_significant_first(width):
    library = build.compile_library(echo_verilog(width))
    sent, words, last = packets([2, 4, 18], seed=width, width=width)
    with Device(library, stalls=STALLS["random"]) as device:
        for packet, answer in zip(sent, device.exchange(words, last, 3), strict=True):
            assert answer.tolist() == echoed(packet, width).tolist()


def test_an_odd_packet_on_a_wide_link_is_filled_with_a_zero_word():
    with Device(build.compile_library(echo_verilog(64))) as device:
        words, last = np.array([1, 2, 3, 7], np.uint32), np.array([False, False, True, True])
        assert [p.tolist() for p in device.exchange(words, last, 2)] == [[2, 2, 4, 0], [8, 0]]


def test_megabytes_go_in_while_answers_come_out(echo):
    sent, words, last = packets([1000] * 1000, seed=2)
    told = []
    with Device(echo) as device:
        answers = device.exchange(words, last, 1000, on_progress=told.append)
        assert device.cycles < 1_010_000
    assert all((echoed(a) == b).all() for a, b in zip(sent, answers, strict=True))
    assert told == sorted(told)


def test_cycles_of_outputs_and_of_the_first_input(echo):
    _, words, last = packets([5, 3], seed=3)
    with Device(echo) as device:
        device.wait(100)
        device.exchange(words, last, 2)
        assert device.input_cycle == 100
        # The buffer of the echo takes two cycles.
        assert device.output_cycles.tolist() == [100 + 4 + 2, 100 + 7 + 2]
        assert device.cycles == 110


def test_packets_beyond_those_asked_for_come_with_the_next_call(echo):
    sent, words, last = packets([4, 4, 4], seed=4)
    none = words[:0], last[:0]
    with Device(echo) as device:
        assert len(device.exchange(words, last, 1)) == 1
        second, third = device.exchange(*none, 2)
    assert second.tolist() == echoed(sent[1]).tolist()
    assert third.tolist() == echoed(sent[2]).tolist()


def test_a_stuck_core_ends_in_an_error_that_says_what_was_missing(echo):
    _, words, last = packets([2, 2, 2], seed=5)
    words[3] = 0xFFFFFFFF
    with Device(echo, idle_limit=1000) as device:
        expected = (
            r"the simulated core stopped after 1,00\d cycles: 2 of 3 output packets came, "
            "4 of 6 input words were accepted"
        )
        with pytest.raises(SimulationError, match=expected):
            device.exchange(words, last, 3)
        with pytest.raises(SimulationError, match="has to be reset first"):
            device.exchange(words, last, 3)
        device.reset()
        assert device.cycles == 0
        assert len(device.exchange(words[:2], last[:2], 1)) == 1


def test_a_core_that_accepts_nothing_is_stuck_as_well(echo):
    _, words, last = packets([3], seed=6)
    never = Stalls(input=Stall(window=(0, 1 << 63)))
    with (
        Device(echo, stalls=never, idle_limit=1000) as device,
        pytest.raises(SimulationError, match="0 of 3 input words were accepted"),
    ):
        device.exchange(words, last, 1)


def test_a_patient_input_is_refused(echo):
    with pytest.raises(SimulationError, match="only the output can be patient"):
        Device(echo, stalls=Stalls(input=Stall(patient=True)))


def test_max_cycles_ends_an_exchange_that_goes_on(echo):
    _, words, last = packets([1000], seed=7)
    with (
        Device(echo) as device,
        pytest.raises(SimulationError, match="not done within 500 cycles: 0 of 1"),
    ):
        device.exchange(words, last, 1, max_cycles=500)


def test_stalls_are_the_same_for_the_same_seed(echo):
    _, words, last = packets([50, 50], seed=8)

    def cycles(seed):
        both = Stall(probability=0.3)
        with Device(echo, stalls=Stalls(input=both, output=both, seed=seed)) as device:
            device.exchange(words, last, 2)
            return device.output_cycles.tolist()

    assert cycles(1) == cycles(1)
    assert cycles(1) != cycles(2)


def test_ctrl_c_ends_a_long_run_promptly(echo):
    with Device(echo, idle_limit=1 << 40) as device:
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT])
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            device.exchange(np.zeros(0, np.uint32), np.zeros(0, bool), 1)
        assert time.monotonic() - start < 5
        device.reset()


def test_a_closed_core_says_so(echo):
    device = Device(echo)
    device.close()
    device.close()
    with pytest.raises(SimulationError, match="is closed"):
        device.wait(1)


@pytest.mark.parametrize("suffix", ["vcd", "fst"])
def test_waves_are_written(tmp_path, suffix):
    headers = [Path("/usr/include") / name for name in ("lz4.h", "zlib.h")]
    if suffix == "fst" and not all(header.exists() for header in headers):
        # Packages of the system that no wheel brings: then the refusal is what must be right.
        with pytest.raises(SimulationError, match=r"FST .* apt install (liblz4|zlib1g)-dev"):
            build.compile_library(echo_verilog(32), waves=suffix)
        return
    library = build.compile_library(echo_verilog(32), waves=suffix)
    _, words, last = packets([20], seed=9)
    file = tmp_path / f"waves.{suffix}"
    with Device(library, waves=file) as device:
        device.exchange(words, last, 1)
    assert file.stat().st_size > 1000
    if suffix == "vcd":
        assert "o__payload" in file.read_text()


def test_waves_that_cannot_be_written_are_refused(echo, tmp_path):
    with pytest.raises(
        SimulationError, match=r"waves are written as \.fst or \.vcd, not as x\.txt"
    ):
        Device(echo, waves=tmp_path / "x.txt")
    library = build.compile_library(echo_verilog(32), waves="vcd")
    with pytest.raises(SimulationError, match=r"x\.vcd cannot be written"):
        Device(library, waves=tmp_path / "missing" / "x.vcd")
