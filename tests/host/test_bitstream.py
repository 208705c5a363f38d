"""Bitstreams: out of the real tools for the smallest design; of boards, out of stand-ins."""

import pytest

from host.cli import execute
from host.synth import Scope, device, synthesize
from hw.config import Config
from tests.host import synth_tools
from tests.host.test_synth import bench as bench  # a fixture: stand-ins for the tools
from tests.host.test_synth import refusal

BOARD = ["bitstream", "ulx3s-85f", "--config", "tiny"]

PREAMBLES = {"up5k": b"\x7e\xaa\x99\x7e", "ecp5-25k": b"\xff\xff\xbd\xb3"}
"""With which the part finds the start."""


@pytest.mark.parametrize("name", PREAMBLES)
def test_the_tools_make_a_bitstream_of_a_single_multiplier(name):
    built = synthesize(Config(rows=1, cols=1), device(name), Scope.ARRAY, tell=lambda text: None)
    placed = built.place(1, tell=lambda text: None)
    assert built.usage.dsps == 1
    assert placed.median > 20
    assert PREAMBLES[name] in placed.bitstream.read_bytes()[:200]
    assert len(placed.sites()) > built.usage.ffs


def test_the_first_placement_that_meets_timing_is_the_boards(bench, tmp_path, capsys):
    trace = synth_tools.install(bench)
    path = tmp_path / "board.bit"
    # The stand-in reaches 60, 70, 80 MHz with seeds 1, 2, 3.
    assert execute([*BOARD, "--mhz", "75", "--out", str(path)]) == 0
    assert trace.read_text().split().count("nextpnr") == 3
    assert path.read_bytes() == b"bits"
    said = capsys.readouterr().out
    assert "75 MHz, 0.83 ns to spare (80 MHz reached), 1,000,000 baud" in said


def test_a_board_goes_on_behind_a_seed_that_does_not_end(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("host.synth.flow.SEED_MINUTES", 0.02)
    synth_tools.install(bench, sleep=600, quick=(3,))
    path = tmp_path / "board.bit"
    said = refusal(capsys, *BOARD, "--mhz", "75", "--seeds", "2", "--out", path)
    assert "none of 2 seeds was routed in time; try more of them, or a smaller core" in said
    assert not path.exists()
    assert execute([*BOARD, "--mhz", "75", "--seeds", "3", "--out", str(path)]) == 0
    assert "(80 MHz reached)" in capsys.readouterr().out


def test_a_board_that_misses_timing_names_the_critical_path_and_writes_nothing(
    bench, tmp_path, capsys
):
    synth_tools.install(bench)
    path = tmp_path / "board.bit"
    said = refusal(capsys, *BOARD, "--mhz", "75", "--seeds", "2", "--out", path)
    assert said == (
        "lepton: ecp5-85k reaches 70.0 MHz with the best of 2 seeds, not 75; "
        "the critical path goes from feeder.x to post.y, through lane_0.array.sums: "
        "1.0 ns of logic and 4.0 ns of wires"
    )
    assert not path.exists()


def test_a_clock_that_nextpnr_does_not_know_is_no_timing(bench, tmp_path, capsys):
    """Its slack would be that of another frequency."""
    synth_tools.install(bench)
    tool = bench / "nextpnr-ecp5"
    tool.write_text(tool.read_text().replace('"constraint": asked', '"constraint": 12.0'))
    said = refusal(capsys, *BOARD, "--mhz", "75", "--out", tmp_path / "board.bit")
    assert said == "lepton: nextpnr was to know of a clock of 75 MHz and knew of 12 MHz"


def test_a_core_that_is_too_large_for_a_board_is_refused_before_place_and_route(
    bench, tmp_path, capsys
):
    trace = synth_tools.install(bench, luts=90_000)
    said = refusal(capsys, *BOARD, "--out", tmp_path / "board.bit")
    assert said == "lepton: this does not fit ecp5-85k: it needs 90,000 luts of 83,640"
    assert trace.read_text().split() == ["yosys"]
