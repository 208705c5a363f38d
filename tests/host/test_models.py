"""The shipped models: their shape, their cost, their weights and what refuses to load."""

import json

import pytest
import torch

from host import data, models, shipped, train
from host.errors import LeptonError

TARGETS = {"lenet5-mnist": 0.993, "lenet5-fashion": 0.910, "lenet-cifar10": 0.71}


def test_lenet_cifar_needs_651720_macs():
    counts = models.macs(models.lenet_cifar(), (3, 32, 32))
    assert counts == {"conv1": 352_800, "conv2": 240_000, "fc1": 48_000, "fc2": 10_080, "fc3": 840}
    assert sum(counts.values()) == 651_720


def test_lenet5_needs_416520_macs():
    assert sum(models.macs(models.lenet5(), (1, 28, 28)).values()) == 416_520


@pytest.mark.parametrize("info", shipped.MODELS.values(), ids=lambda info: info.name)
def test_a_model_gives_ten_scores_per_image_and_is_ready_for_inference(info):
    module = models.load(info.name)
    assert not module.training
    assert module(torch.zeros(3, *info.input_shape)).shape == (3, 10)


@pytest.mark.parametrize("name", shipped.MODELS)
def test_shipped_weights_say_what_made_them_and_reach_their_target(name):
    metadata = json.loads(shipped.MODELS[name].weights.with_suffix(".json").read_text())
    assert metadata["command"].startswith("lepton train ")
    assert metadata["model"] == name
    assert metadata["test_images"] == 10_000
    assert metadata["test_accuracy"] >= TARGETS[name]


@pytest.mark.parametrize("name", shipped.MODELS)
def test_shipped_weights_do_on_the_sample_as_recorded(name):
    metadata = json.loads(shipped.MODELS[name].weights.with_suffix(".json").read_text())
    recorded = metadata["test_accuracy"]
    # Four standard deviations of a draw of 256.
    slack = 4 * (recorded * (1 - recorded) / 256) ** 0.5
    accuracy = train.evaluate(models.load(name), data.sample(name), name)
    assert accuracy == pytest.approx(recorded, abs=slack)


def test_the_cifar_weights_own_up_to_the_jpeg_copy():
    metadata = json.loads(shipped.MODELS["lenet-cifar10"].weights.with_suffix(".json").read_text())
    assert "JPEG" in metadata["note"]


def test_an_unknown_model_is_refused_with_the_known_names():
    with pytest.raises(LeptonError, match=r"'lenet6'.*lenet5-mnist, lenet5-fashion, lenet-cifar10"):
        models.load("lenet6")


@pytest.mark.parametrize(
    ("model", "dataset", "name"),
    [
        ("lenet5", "mnist", "lenet5-mnist"),
        ("lenet5", "fashion-mnist", "lenet5-fashion"),
        ("lenet_cifar", None, "lenet-cifar10"),
        ("lenet5-fashion", None, "lenet5-fashion"),
    ],
)
def test_an_architecture_and_a_dataset_name_a_model(model, dataset, name):
    assert shipped.find(model, dataset).name == name


@pytest.mark.parametrize(
    ("model", "dataset", "reason"),
    [
        ("vgg", None, "no model is called 'vgg'"),
        ("lenet5", None, "needs a dataset: mnist or fashion-mnist"),
        ("lenet5", "cifar10", "mnist or fashion-mnist, not 'cifar10'"),
        ("lenet-cifar10", "mnist", "cifar10, not 'mnist'"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(model, dataset, reason):
    with pytest.raises(LeptonError, match=reason):
        shipped.find(model, dataset)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 cut off"], ids=repr)
def test_a_file_that_holds_no_weights_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(LeptonError, match=r"broken\.pt: not a state dict"):
        models.load("lenet5-mnist", path)


@pytest.mark.parametrize(
    "content",
    [models.lenet_cifar().state_dict(), {}, [1, 2], torch.zeros(3)],
    ids=lambda c: type(c),
)
def test_weights_of_another_model_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(LeptonError, match="not weights of lenet5"):
        models.load("lenet5-mnist", tmp_path / "other.pt")


def test_a_missing_weights_file_is_refused_by_name(tmp_path):
    with pytest.raises(LeptonError, match=r"nowhere\.pt: no such weights file"):
        models.load("lenet5-mnist", tmp_path / "nowhere.pt")
