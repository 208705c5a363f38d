"""Boards: clocks that the PLLs can make, resets, pins."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw.boards import BOARDS, board
from hw.boards.pll import ecp5_dividers, ice40_dividers
from hw.boards.top import ResetHold, divisor, emit
from hw.config import named
from hw.errors import ConfigError
from tests.hw.simulation import simulate

FREQUENCIES = (17, 20.5, 27, 36, 39, 48, 60, 75, 99.5, 133.3, 200)


def frequency_of(tool, reference, megahertz):
    """What the vendors' open tool says that a PLL makes; it knows nothing of ours."""
    command = Path(sys.executable).with_name(f"yowasp-{tool}")
    said = subprocess.run(
        [command, "-i", str(reference), "-o", str(megahertz)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = re.search(r"F_PLLOUT:\s*([\d.]+) MHz \(achieved\)|clkout0 frequency: ([\d.]+)", said)
    assert found, said
    return float(found[1] or found[2])


@pytest.mark.parametrize("megahertz", FREQUENCIES, ids="{}MHz".format)
def test_ice40_dividers_are_within_the_blocks_limits(megahertz):
    found = ice40_dividers(12, megahertz)
    assert 10 <= 12 / (found.divr + 1) <= 133
    assert 533 <= found.vco <= 1066
    assert 0 <= found.divf < 128
    assert 1 <= found.divq <= 6
    assert found.output == pytest.approx(megahertz, rel=0.01)


@pytest.mark.parametrize("reference", [25, 48], ids="from {}MHz".format)
@pytest.mark.parametrize("megahertz", FREQUENCIES, ids="{}MHz".format)
def test_ecp5_dividers_are_within_the_blocks_limits(reference, megahertz):
    found = ecp5_dividers(reference, megahertz)
    assert reference / found.clki >= 3.125
    assert 400 <= found.vco <= 800
    assert 1 <= found.clkfb <= 80
    assert 1 <= found.clkop <= 128
    assert 1 <= found.clkos <= 128
    assert found.output == pytest.approx(megahertz, rel=0.01)


@pytest.mark.parametrize("megahertz", [39, 48, 133.3], ids="{}MHz".format)
def test_ice40_dividers_come_as_near_as_icepll(megahertz):
    theirs = frequency_of("icepll", 12, megahertz)
    assert abs(ice40_dividers(12, megahertz).output - megahertz) <= abs(theirs - megahertz) + 1e-3


def test_the_filter_range_is_that_of_icepll():
    said = subprocess.run(
        [Path(sys.executable).with_name("yowasp-icepll"), "-i", "48", "-o", "60"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    divr = re.search(r"DIVR:\s*(\d+)", said)
    theirs = re.search(r"FILTER_RANGE:\s*(\d+)", said)
    assert divr
    assert theirs
    ours = ice40_dividers(48, 60)
    assert (ours.divr, ours.filter_range) == (int(divr[1]), int(theirs[1]))


@pytest.mark.parametrize("megahertz", [48, 75, 99.5], ids="{}MHz".format)
def test_ecp5_dividers_come_as_near_as_ecppll(megahertz):
    theirs = frequency_of("ecppll", 25, megahertz)
    assert abs(ecp5_dividers(25, megahertz).output - megahertz) <= abs(theirs - megahertz) + 1e-3


@pytest.mark.parametrize(
    ("make", "megahertz"), [(ice40_dividers, 5), (ice40_dividers, 400), (ecp5_dividers, 700)]
)
def test_a_frequency_that_no_pll_makes_is_refused(make, megahertz):
    with pytest.raises(ConfigError, match=f"makes no {megahertz} MHz; it makes about"):
        make(12, megahertz)


def test_a_rate_that_no_divisor_makes_is_refused():
    assert divisor(48, 1_000_000) == 48
    with pytest.raises(ConfigError, match=r"a clock of 36 MHz makes 3,000,000 baud, not 2,880,000"):
        divisor(36, 2_880_000)


@pytest.mark.parametrize("ends", ["lock", "button"])
def test_a_reset_is_held_until_lock_and_button_were_good_for_long_enough(ends):
    dut = ResetHold(cycles=5)

    async def press(ctx):
        assert ctx.get(dut.reset), "it does not begin with a reset"
        await ctx.tick().repeat(20)
        assert ctx.get(dut.reset), "it does not wait for the lock"
        for _ in range(2):
            ctx.set(dut.lock, 1)
            ctx.set(dut.button, 0)
            # Two cycles of the synchronizer, five of waiting, one for the register.
            await ctx.tick().repeat(7)
            assert ctx.get(dut.reset)
            await ctx.tick().repeat(2)
            assert not ctx.get(dut.reset)
            if ends == "lock":
                ctx.set(dut.lock, 0)
            else:
                ctx.set(dut.button, 1)
            await ctx.tick().repeat(4)
            assert ctx.get(dut.reset)

    simulate(dut, press)


def test_an_unknown_board_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="no board is named 'arty'; there are icebreaker, ulx3s"):
        board("arty")


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_names_its_pins_and_constrains_its_oscillator(name):
    chosen = board(name)
    design = json.loads(emit(name, named("tiny"), megahertz=chosen.megahertz, baud=1_000_000))
    pins = design["pins"]
    for resource in ("uart_0__rx", "uart_0__tx", chosen.clock, chosen.reset[0], chosen.busy[0]):
        assert resource in pins
    clocks = re.findall(r"set_frequency (\S+) ([\d.]+)|PORT \"(\S+)\" ([\d.]+) HZ", pins)
    assert len(clocks) == 1
    assert chosen.clock in "".join(clocks[0])
    assert f"cell \\{'SB_PLL40_PAD' if name == 'icebreaker' else 'EHXPLLL'} " in design["rtlil"]


def test_frames_are_kept_in_luts_where_the_core_leaves_no_block_ram():
    for name, chosen in BOARDS.items():
        text = json.loads(emit(name, named("tiny"), megahertz=48, baud=1_000_000))["rtlil"]
        assert text.count('attribute \\ram_style "distributed"') >= 2 * chosen.slots_in_luts
        assert ('"distributed"' in text) == chosen.slots_in_luts
