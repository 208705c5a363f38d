"""`lepton compress`: what it makes, what it refuses, and that a stopped one goes on."""

import fcntl
import json
import shutil
import struct

import numpy as np
import pytest
import torch

from host import catalog, compress, data, models, train
from host.cli import execute
from host.integer_reference import reference
from host.program import write_whole
from host.qgraph import Conv2d, Linear
from hw.config import named

TRAINING = 96
MODEL = "lenet5-mnist"
QUICK = ["--epochs", "2", "--qat-epochs", "2", "--train-images", str(TRAINING), "--rtl-images", "4"]
COMMAND = ["compress", MODEL, "--dataset", "mnist", *QUICK]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Batches of this size gain nothing from threads that wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def wide_terminal_without_colors(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")


def idx(path, array):
    """Writes an IDX file, as MNIST's are."""
    head = struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *array.shape)
    write_whole(path, head + array.tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with the MNIST images that ship."""
    place = tmp_path_factory.mktemp("data")
    for name, images in (
        ("train", data._shipped("mnist", "train")),
        ("t10k", data._shipped("mnist", "test")),
    ):
        idx(place / f"{name}-images-idx3-ubyte", images.pixels[:, 0])
        idx(place / f"{name}-labels-idx1-ubyte", images.labels)
    return place


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """A compressed model: all steps, the default half of the cycles."""
    out = tmp_path_factory.mktemp("made") / "small"
    path = out.with_name("record.json")
    code = execute([*COMMAND, "--data", str(folder), "-o", str(out), "--json", str(path)])
    assert code == 0
    return out


def test_every_byte_of_the_pruned_network_is_the_same_on_the_simulated_core(made):
    last = compress.Compressed.read(made).rows[-1]
    assert (last.rtl_mismatches, last.rtl_bytes) == (0, 4 * 10)
    assert last.rtl_cycles == last.cycles


def test_half_of_the_cycles_are_left_after_the_steps_that_were_asked_for(made):
    rows = compress.Compressed.read(made).rows
    assert [row.step for row in rows] == ["float model", "calibration", "prune", "qat"]
    assert rows[-1].cycles <= rows[0].cycles / 2


def test_the_last_row_describes_the_model_in_the_folder(made, folder):
    last, source = compress.Compressed.read(made).rows[-1], catalog.find(str(made))
    tests = data.load("mnist", "test", folder)
    graph = source.quantize(16)
    inputs = data.normalize(tests.pixels, "mnist")
    right = float(np.mean(reference(graph, inputs).argmax(1) == tests.labels))
    assert last.accuracy == right
    assert last.parameters == sum(p.numel() for p in source.module.parameters())
    assert last.macs == sum(models.macs(source.module, (1, 28, 28)).values())
    assert last.pes == named("default").pes
    assert last.utilization == pytest.approx(last.macs / (last.cycles * last.pes))


def test_integers_and_floats_in_the_folder_have_the_same_widths(made):
    source, widths = catalog.find(str(made)), compress.Compressed.read(made).record["widths"]
    assert list(widths) == ["conv1", "conv2", "fc1", "fc2"]
    for layer in source.quantize(16).layers:
        if isinstance(layer, Conv2d | Linear):
            weight = source.module.get_submodule(layer.name).get_parameter("weight")
            assert layer.weight.shape == tuple(weight.shape)
            assert len(weight) == widths.get(layer.name, 10)


def test_the_first_rows_are_of_the_model_as_it_was(made, folder):
    first = compress.Compressed.read(made).rows[0]
    tests = data.load("mnist", "test", folder)
    assert first.float_accuracy == train.evaluate(models.load(MODEL), tests, "mnist")
    assert first.macs == 416_520


def test_the_scheme_is_the_best_of_all_six_on_images_held_back(made):
    record = compress.Compressed.read(made).record
    for right in record["calibrations"].values():
        assert len(right) == 6
    tried = record["calibrations"]["prune"]
    assert tried[record["scheme"]] == max(tried.values())
    # One of twenty of the training images, and none that was trained on.
    assert record["images"] == {"train": TRAINING, "held": 256 // 20, "test": 256}


def test_json_has_what_the_folder_has(made):
    written = json.loads(made.with_name("record.json").read_text())
    assert written == compress.Compressed.read(made).record
    assert written["command"] == (
        "lepton compress lenet5-mnist --dataset mnist --steps prune,qat,distill --epochs 2 "
        f"--qat-epochs 2 --train-images {TRAINING} --rtl-images 4 --seed 0"
    )


def test_nothing_but_the_model_is_left(made):
    assert sorted(path.name for path in made.iterdir()) == [
        "model.json",
        "model.pt",
        "model.qgraph",
    ]
    assert not compress.unfinished(made).exists()


def test_a_folder_runs_and_costs_as_a_name_does(made, capsys):
    assert execute(["run", str(made), "--images", "2", "--json", "-"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert execute(["cost", str(made), "--json", "-"]) == 0
    cost = json.loads(capsys.readouterr().out)
    assert run["mismatched_bytes"] == 0
    assert run["cycles_per_image"] == cost["cycles_per_image"]
    assert run["macs_per_image"] == compress.Compressed.read(made).rows[-1].macs


def test_a_model_that_is_there_already_is_only_shown(made, folder, capsys, monkeypatch):
    monkeypatch.setattr(train, "fit", None)
    assert execute([*COMMAND, "--data", str(folder), "-o", str(made)]) == 0
    out = capsys.readouterr().out
    assert "test images, 12 held back" in out
    assert "0 of 40 bytes of the RTL differ" in out


def test_a_stopped_compression_goes_on_to_the_same_bytes(
    made, folder, tmp_path, capsys, monkeypatch
):
    out, command = tmp_path / "small", [*COMMAND, "--data", str(folder)]
    original, trainings = train.fit, []

    def stopped(*arguments, **options):
        """Ctrl-C in the second epoch: in recovery the first time, in QAT the second time."""

        def loss(module, inputs, labels):
            steps.append(1)
            if len(steps) == 2 and len(trainings) in (1, 3):
                raise KeyboardInterrupt
            return options["loss"](module, inputs, labels)

        trainings.append(1)
        steps = []
        return original(*arguments, **{**options, "loss": loss})

    monkeypatch.setattr(train, "fit", stopped)
    for _ in range(2):
        assert execute([*command, "-o", str(out)]) == 130
        said = capsys.readouterr().err.splitlines()[-2:]
        assert said[0].endswith("small.part: the same command goes on from there.")
        assert said[1] == "lepton: interrupted"
        # The model is there when it is whole.
        assert not out.exists()
    assert execute([*command, "-o", str(out)]) == 0
    for name in ("model.qgraph", "model.pt"):
        assert (out / name).read_bytes() == (made / name).read_bytes(), name


def test_a_model_out_of_a_folder_is_compressed_further(made, folder, tmp_path):
    out = tmp_path / "smaller"
    command = ["compress", str(made), "--steps", "prune", "--epochs", "1"]
    options = ["--train-images", "32", "--rtl-images", "0", "--by", "macs", "--keep", "0.8"]
    assert execute([*command, *options, "--data", str(folder), "-o", str(out)]) == 0
    before, after = (compress.Compressed.read(where).rows for where in (made, out))
    assert after[0].macs == before[-1].macs
    assert after[0].accuracy == before[-1].accuracy
    assert after[-1].macs <= 0.8 * after[0].macs
    assert catalog.find(str(out)).base == MODEL


def test_given_widths_and_an_optimizer_are_those_of_the_model(folder, tmp_path):
    out = tmp_path / "small"
    options = ["--optimizer", "muon", "--widths", "conv1=4,fc1=30", "--steps", "prune"]
    assert execute([*COMMAND, *options, "--data", str(folder), "-o", str(out)]) == 0
    made = compress.Compressed.read(out)
    assert made.record["widths"] == {"conv1": 4, "conv2": 16, "fc1": 30, "fc2": 84}
    assert " --optimizer muon " in made.record["command"]
    assert " --widths conv1=4,fc1=30 " in made.record["command"]


def test_an_accuracy_that_cannot_be_reached_is_said_with_the_nearest(folder, tmp_path, capsys):
    # Nothing may be lost against a model that is right on all of these: so nothing is pruned.
    arguments = ["--steps", "prune", "--target-accuracy", "1", "--epochs", "1"]
    options = ["--train-images", "32", "--rtl-images", "0", "-o", str(tmp_path / "out")]
    images = data.load("mnist", "test", folder)
    labels = images.labels.copy()
    labels[0] = (labels[0] + 1) % 10
    wrong = shutil.copytree(folder, tmp_path / "data")
    idx(wrong / "t10k-labels-idx1-ubyte", labels)
    assert execute(["compress", MODEL, *arguments, *options, "--data", str(wrong)]) == 1
    out = capsys.readouterr().out
    rows = compress.Compressed.read(tmp_path / "out").rows
    nearest = max(row.accuracy for row in rows[1:])
    assert nearest < 1
    assert f"Not reached: an accuracy of 100.00%; the nearest is {nearest:.2%} of the test" in out


def refused(capsys, *arguments):
    """The one line with which these arguments are refused."""
    assert execute([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert (out, len(lines)) == ("", 1), err
    return lines[0].removeprefix("lepton: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--steps", "prune,shrink"), "there is no step 'shrink'; there are prune, qat, distill"),
        (("--steps", ","), "no step is named; there are prune, qat, distill"),
        (("--keep", "0"), "keep is 0.0; give a share above 0 and up to 1, as 0.5"),
        (("--target-accuracy", "71"), "target-accuracy is 71.0; give a share above 0 and up to 1"),
        (("--keep", "0.5", "--steps", "qat"), "keep is of pruning, and prune is not among"),
        (
            ("--widths", "conv1=2", "--steps", "qat"),
            "widths are of pruning, and prune is not among",
        ),
        (("--widths", "conv1=2", "--keep", "0.5"), "widths say how far to prune; give no keep or"),
        (("--widths", "conv1:2"), "--widths: 'conv1:2' is not LAYER=N, as conv1=6"),
        (("--dataset", "cifar10"), "lenet5-mnist is for the dataset mnist, not 'cifar10'"),
        (("--set", "rows=0"), "rows=0 is not an integer from 1 to 128"),
        (("--set", "weight_depth=100"), "words of weights and the hardware has weight_depth=100"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_one_sentence(capsys, folder, tmp_path, arguments, said):
    command = ("compress", MODEL, *arguments, "--data", folder, "-o", tmp_path / "out")
    assert said in refused(capsys, *command)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_refused_with_those_there_are(capsys, tmp_path):
    said = refused(capsys, "compress", "vgg", "-o", tmp_path / "out")
    assert said.startswith("no model is called 'vgg'; there are lenet5-mnist,")


def test_a_missing_data_set_is_named_with_where_to_get_it(capsys, tmp_path):
    said = refused(capsys, "compress", MODEL, "--data", tmp_path, "-o", tmp_path / "out")
    assert "has no MNIST: train-images-idx3-ubyte and train-labels-idx1-ubyte not found" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_not_written_into(capsys, folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    said = refused(capsys, "compress", MODEL, "--data", folder, "-o", tmp_path)
    assert "holds other files; name an empty folder, or a new one" in said
    said = refused(capsys, "compress", MODEL, "--data", folder, "-o", tmp_path / "notes.txt")
    assert "is not a folder; name one, or a new one" in said
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_model_made_otherwise_is_not_overwritten(capsys, made, folder):
    before = (made / "model.qgraph").read_bytes()
    said = refused(capsys, *COMMAND, "--seed", 1, "--data", folder, "-o", made)
    assert f"{made} holds a model made otherwise (`lepton compress lenet5-mnist" in said
    assert (made / "model.qgraph").read_bytes() == before


def test_work_of_another_plan_or_another_process_is_not_mixed_in(capsys, folder, tmp_path):
    out = tmp_path / "small"
    stages = compress.unfinished(out) / "stages"
    stages.mkdir(parents=True)
    (stages.parent / "plan.json").write_text("{}\n")
    said = refused(capsys, *COMMAND, "--data", folder, "-o", out)
    assert "small.part is what a stopped run of another plan left; remove it, or name" in said
    with (stages / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = refused(capsys, *COMMAND, "--data", folder, "-o", out)
    assert "small.part is in use by another `lepton compress`; wait for it, or name" in said


def test_a_place_that_cannot_be_written_is_named(capsys, folder, tmp_path):
    (tmp_path / "file").write_text("")
    said = refused(capsys, *COMMAND, "--data", folder, "-o", tmp_path / "file" / "small")
    assert "small.part cannot be written: Not a directory" in said
