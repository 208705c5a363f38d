"""hw/uart_codec.py"""

import zlib

import numpy as np
import pytest

from hw.uart_codec import CRC32, Deframer, Enframer
from hw.uart_frame import CRC_RESIDUE
from tests.hw.simulation import STALLS, get, lawful, pauses, play, put, simulate


def line(content: bytes) -> list[int]:
    """A frame's bytes on the line, after RFC 1662."""
    escaped = []
    for byte in content + zlib.crc32(content).to_bytes(4, "little"):
        escaped += [0x7D, byte ^ 0x20] if byte in (0x7D, 0x7E) else [byte]
    return [0x7E, *escaped, 0x7E]


def contents(seed):
    rng = np.random.default_rng(seed)
    corners = [b"\x7e\x7d", b"\x7d\x5e\x7d\x5d", bytes(6), b"\xff" * 5, b"\x7e" * 9]
    return [*corners, *(rng.bytes(int(n)) for n in rng.integers(2, 20, 6))]


def test_the_crc_is_that_of_zlib_and_shifts_itself_out():
    dut = CRC32()
    content = bytes(range(250, 256)) + b"Lepton"
    data, valid = [], []
    for byte in content + zlib.crc32(content).to_bytes(4, "little"):
        data += [byte] * 9
        valid += [1] + [0] * 8
    seen = play(dut, [(dut.data, data), (dut.valid, valid)], [dut.value, dut.busy], len(data) + 1)
    value, busy = seen[9 * len(content)]
    assert (value ^ 0xFFFFFFFF, busy) == (zlib.crc32(content), 0)
    assert seen[-1][0] == CRC_RESIDUE


@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_frames_go_out_as_ppp_writes_them(stalls_in, stalls_out):
    dut = Enframer()
    frames = contents(1)
    wanted = [byte for content in frames for byte in line(content)]
    came = []

    async def source(ctx):
        for content in frames:
            given = [{"data": b, "last": int(i == len(content) - 1)} for i, b in enumerate(content)]
            await put(ctx, dut.i, given, pauses(stalls_in, 1))

    async def sink(ctx):
        came.extend(await get(ctx, dut.o, len(wanted), pauses(stalls_out, 2)))

    simulate(dut, source, sink, cycles=20_000, background=[lawful(dut.o)])
    assert came == wanted


def received(items):
    """What the deframer makes of bytes, None for one that could not be read: (content, good)."""
    dut = Deframer()
    data, valid, error = [], [], []
    for item in items:
        data += [item or 0] + [0] * 11
        valid += [int(item is not None)] + [0] * 11
        error += [int(item is None)] + [0] * 11
    seen = play(
        dut,
        [(dut.i, data), (dut.i_valid, valid), (dut.i_error, error)],
        [dut.valid, dut.data, dut.end, dut.good],
        len(data),
    )
    frames, content = [], []
    for is_byte, byte, end, good in seen:
        if is_byte:
            content.append(byte)
        if end:
            frames.append((bytes(content), bool(good)))
            content = []
    return frames


def test_frames_come_in_with_their_crc():
    items = [byte for content in contents(2) for byte in line(content)]
    wanted = [(c + zlib.crc32(c).to_bytes(4, "little"), True) for c in contents(2)]
    assert received(items) == wanted


@pytest.mark.parametrize("fault", ["drop", "flip", "double", "error", "insert"])
def test_every_damaged_byte_is_noticed_and_the_next_frame_is_good(fault):
    content, after = b"\x10\x00ab}d~fgh", b"\x10\x00next"
    whole = line(content)
    for at in range(1, len(whole) - 1):
        items: list[int | None] = list(whole)
        if fault == "flip":
            items[at] = whole[at] ^ 1 << at % 8
        elif fault == "error":
            items[at] = None
        else:
            middle = {"drop": [], "double": 2 * [whole[at]], "insert": [at, whole[at]]}[fault]
            items[at : at + 1] = middle
        *bad, (last, good) = received([*items, *line(after)])
        doubled_escape = fault == "double" and whole[at] == 0x7D
        assert good, f"byte {at}"
        assert last[:-4] == after, f"byte {at}"
        assert doubled_escape or not any(good for _, good in bad), f"byte {at}"
        assert bad, f"byte {at}"
