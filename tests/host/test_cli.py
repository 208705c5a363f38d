"""The command line: what it prints, what it refuses, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host import evaluation
from host.cli import execute
from host.program import Program
from hw.config import named

ROOT = Path(__file__).parents[2]
TINY = ["--config", "tiny", "--images", "2"]


@pytest.fixture(autouse=True)
def wide_terminal_without_colors(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")


def refused(capsys, *arguments):
    """The one line with which these arguments are refused."""
    assert execute([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    # Stages that had begun are shown before.
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert (out, len(lines)) == ("", 1), err
    assert lines[0].startswith("lepton: ")
    return lines[0]


def test_run_ends_with_a_table(capsys):
    assert execute(["run", "lenet5-mnist", *TINY]) == 0
    out, err = capsys.readouterr()
    for text in (
        "accuracy, float model",
        "integer reference",
        "bytes different",
        "cycles per image",
    ):
        assert text in out
    assert "conv2" in out
    assert "Streaming images through the core" in err


def test_json_on_stdout_is_all_there_is(capsys):
    assert execute(["run", "lenet5-mnist", *TINY, "--layers", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert (record["config"], record["images"], record["mismatched_bytes"]) == ("tiny", 2, 0)
    assert "bytes compared" in err


def test_json_into_a_file_and_fields_set(capsys, tmp_path):
    path = tmp_path / "result.json"
    command = ["run", "lenet5-mnist", "--target", "reference", "--set", "rows=4", "--set", "cols=4"]
    assert execute([*command, "--json", str(path)]) == 0
    record = json.loads(path.read_text())
    assert (record["fields"]["rows"], record["pes"], record["target"]) == (4, 16, "reference")
    assert "accuracy, integer reference" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [path]


def test_different_bytes_are_named_and_end_with_1(capsys, monkeypatch):
    honest = evaluation.reference

    def lying(*arguments, **options):
        outputs = honest(*arguments, **options)
        outputs["fc3"][1, 4] ^= 1
        return outputs

    monkeypatch.setattr(evaluation, "reference", lying)
    assert execute(["run", "lenet5-mnist", *TINY]) == 1
    assert "First difference: image 1, layer fc3, position (4)" in capsys.readouterr().out


def test_waves_are_written(capsys, tmp_path):
    # VCD needs no package beyond the compiler; the network is the smallest that ships.
    path = tmp_path / "core.vcd"
    command = ["run", "lenet5-mnist", "--config", "tiny", "--images", "1", "--waves", str(path)]
    assert execute(command) == 0
    assert path.read_bytes().startswith((b"$version", b"$date", b"$timescale"))


def test_compile_writes_a_program_that_loads(capsys, tmp_path):
    path = tmp_path / "lenet.lepton"
    assert execute(["compile", "lenet-cifar10", "--batch", "4", "-o", str(path)]) == 0
    program = Program.load(path)
    assert (program.batch, program.config) == (4, named("default"))


def test_verilog_goes_to_a_file_or_to_stdout(capsys, tmp_path):
    path = tmp_path / "lepton.v"
    assert execute(["verilog", "--config", "tiny", "-o", str(path)]) == 0
    capsys.readouterr()
    assert execute(["verilog", "--config", "tiny", "-o", "-"]) == 0
    assert "module lepton(" in (text := path.read_text())
    assert capsys.readouterr().out == text


def test_configs_lists_every_field(capsys):
    assert execute(["configs"]) == 0
    out = capsys.readouterr().out
    for name in ("tiny", "default", "wide", *(name for name, _ in named("tiny").items())):
        assert name in out


def test_every_lane_has_an_image_unless_a_batch_is_asked_for(capsys):
    """One image does not fill the lanes of ecp5-85k, and was what each command began with."""
    command = ["cost", "lenet5-mnist", "--config", "ecp5-85k", "--json", "-"]
    assert execute(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["batch"] == found["fields"]["lanes"] > 1
    assert execute([*command, "--batch", "1"]) == 2
    assert f"use a batch of {found['batch']}" in capsys.readouterr().err


def test_cost_writes_what_run_measures_under_the_same_names(capsys):
    assert execute(["cost", "lenet5-mnist", "--batch", "2", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    # Every multiply-accumulate takes a place in some cycle, and no layer takes none.
    assert record["cycles_per_image"] >= record["macs_per_image"] / record["pes"]
    assert 0 < record["utilization"] < 1
    assert [layer["name"] for layer in record["layers"]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert all(layer["cycles"] > 0 for layer in record["layers"])


def test_help_lists_the_commands_without_loading_pytorch():
    code = "import sys; from host.cli import execute; execute([]); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for command in ("run", "train", "compile", "verilog", "configs"):
        assert command in done.stdout


RUN = ("run", "lenet5-mnist")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "vgg"), "there are lenet5-mnist, lenet5-fashion, lenet-cifar10"),
        ((*RUN, "--config", "huge"), "there are tiny, default, wide"),
        ((*RUN, "--set", "depth=2"), "no field 'depth'; it has rows, cols"),
        ((*RUN, "--set", "depth=two"), "no field 'depth'; it has rows, cols"),
        ((*RUN, "--set", "rows=two"), "'two' is not an integer"),
        ((*RUN, "--set", "rows"), "FIELD=VALUE"),
        ((*RUN, "--set", "rows=0"), "from 1 to 128"),
        ((*RUN, "--set", "weight_depth=100"), "weight_depth=100"),
        ((*RUN, "--images", "0"), "--images"),
        ((*RUN, "--images", "many"), "--images': Input should be a valid integer"),
        ((*RUN, "--batch", "0"), "--batch"),
        ((*RUN, "--target", "fpga"), "there are sim, reference, uart:PORT"),
        ((*RUN, "--target", "reference", "--waves", "w.fst"), "waves are of the hardware"),
        ((*RUN, "--waves", "/nowhere/w.fst"), "/nowhere/w.fst cannot be written"),
        ((*RUN, "--config", "tiny", "--waves", "w.txt"), "as .fst or .vcd, not as w.txt"),
        ((*RUN, "--json", "/nowhere/result.json"), "/nowhere/result.json cannot be written"),
        ((*RUN, "--json", "/dev/null"), "/dev/null is not a regular file"),
        ((*RUN, "--images", "9999", "--data", "/nowhere"), "/nowhere has no MNIST"),
        ((*RUN, "--frames", "3"), "--frames"),
        (("run",), "MODEL"),
        (("fly",), "'fly'"),
        (("train", "lenet5"), "needs a dataset: mnist or fashion-mnist"),
        (("train", "lenet5", "--dataset", "cifar10"), "mnist or fashion-mnist, not 'cifar10'"),
        (("train", "lenet_cifar", "--data", "/nowhere"), "/nowhere has no CIFAR-10"),
        (("train", "lenet_cifar", "-o", "/nowhere/w.pt"), "/nowhere/w.pt cannot be written"),
        (("compile", "lenet5-mnist", "-o", "/nowhere/p"), "/nowhere/p cannot be written"),
        (("compile", "lenet5-mnist"), "--out"),
        (("compile", "lenet5-mnist", "-o", "-"), "not written to standard output"),
        (("verilog", "--config", "tiny", "-o", "/"), "/ is not a regular file"),
    ],
    ids=lambda value: "-".join(value[1:]).replace("/", "|") if isinstance(value, tuple) else "",
)  # fmt: skip
def test_bad_input_is_one_sentence(capsys, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_the_sentence_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(capsys, *RUN, "--config", "tiny", "--json", tmp_path / "result.json")
    assert "g++" in said
    assert "apt install" in said
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("seconds", [0.5, 4.0, 8.0], ids="after {} s".format)
def test_interrupt_ends_with_130_and_leaves_nothing(tmp_path, seconds):
    code = "import sys; from host.cli import main; print(file=sys.stderr, flush=True); main()"
    command = [*RUN, "--config", "tiny", "--set", "rows=2", "--json", "result.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LEPTON_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    # Before its first line, Python itself may still be starting.
    process.stderr.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "lepton: interrupted"
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []
