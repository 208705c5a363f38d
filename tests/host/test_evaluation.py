"""The measurement behind `lepton run`: what it counts, compares and refuses."""

import json

import numpy as np
import pytest

from host import data, evaluation
from host.errors import LeptonError
from host.evaluation import compare, measure
from host.measurement import Difference, Experiment, Watcher
from hw.config import named

KEYS = """model dataset images batch config target float_accuracy reference_accuracy accuracy
checked_bytes mismatched_bytes cycles_per_image macs_per_image pes utilization wall_s images_per_s
layers""".split()


class Recorder(Watcher):
    def __init__(self):
        self.stages, self.counts = [], []

    def begin(self, stage, total=None):
        self.stages.append((stage, total))

    def advance(self, done):
        self.counts.append(done)


def experiment(**changes):
    values = {"model": "lenet5-mnist", "config": named("tiny"), "config_name": "tiny", "images": 3}
    return Experiment(**values | changes)


@pytest.fixture(scope="module")
def measured():
    """Three images on the tiny core, every layer compared."""
    return measure(experiment(layers=True))


def test_tiny_core_equals_the_reference_in_every_byte_of_every_layer(measured):
    hardware = measured.hardware
    outputs = 6 * 14 * 14 + 16 * 5 * 5 + 120 + 84 + 10
    assert (hardware.checked_bytes, hardware.mismatched_bytes) == (3 * outputs, 0)
    assert hardware.difference is None


def test_record_has_the_promised_keys_and_is_json(measured):
    record = json.loads(json.dumps(measured.record()))
    assert set(KEYS) <= set(record)
    assert (record["model"], record["dataset"]) == ("lenet5-mnist", "mnist")
    assert (record["images"], record["batch"], record["pes"]) == (3, 1, 6)
    assert record["macs_per_image"] == 416_520


def test_layers_add_up_to_the_image(measured):
    layers = measured.record()["layers"]
    assert [layer["name"] for layer in layers] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert sum(layer["macs"] for layer in layers) == measured.macs
    total = measured.hardware.counters.cycles_per_image
    assert sum(layer["cycles"] for layer in layers) == pytest.approx(total, rel=0.02)


def test_utilization_is_the_share_of_multiplications_that_the_model_asks_for(measured):
    cycles = measured.hardware.counters.cycles_per_image
    assert measured.utilization == pytest.approx(416_520 / (cycles * 6))


def test_a_batch_that_images_do_not_fill_counts_only_them():
    measured = measure(experiment(images=3, batch=2))
    assert measured.hardware
    assert measured.hardware.checked_bytes == 30
    assert measured.hardware.mismatched_bytes == 0
    assert measured.hardware.counters.batches == 2
    assert sum(layer.macs for layer in measured.layers) == measured.macs


def test_reference_needs_no_hardware():
    measured = measure(experiment(target="reference", images=None))
    record = measured.record()
    assert record["images"] == 256
    assert record["accuracy"] == record["reference_accuracy"] > 0.97
    assert record["cycles_per_image"] is None
    assert record["checked_bytes"] == 0


def test_watcher_hears_every_stage_and_all_images():
    watcher = Recorder()
    measure(experiment(target="reference", images=256), watcher)
    assert ("Running the integer reference", 256) in watcher.stages
    assert watcher.counts == [250, 256]


def int8(*shape):
    return np.zeros(shape, np.int8)


def test_first_difference_is_the_earliest_layer_of_the_earliest_image():
    expected = {"conv": int8(4, 2, 3, 3), "fc": int8(4, 5)}
    found = {name: values.copy() for name, values in expected.items()}
    found["conv"][3, 0, 0, 0] = 9
    found["fc"][2, 1] = -7
    found["conv"][2, 1, 2, 0] = 5
    found["conv"][2, 1, 2, 1] = 6
    checked, wrong, difference = compare(found, expected)
    assert (checked, wrong) == (4 * 18 + 20, 4)
    assert difference == Difference(2, "conv", (1, 2, 0), got=5, expected=0)
    assert str(difference) == "image 2, layer conv, position (1, 2, 0): got 5, expected 0"


def test_only_layers_that_were_sent_are_compared():
    assert compare({"fc": int8(4, 5)}, {"conv": int8(4, 9), "fc": int8(4, 5)}) == (20, 0, None)


def test_wrong_bytes_reach_the_record(monkeypatch):
    honest = evaluation.reference

    def lying(*arguments, **options):
        outputs = honest(*arguments, **options)
        outputs["fc3"][1, 4] ^= 1
        return outputs

    monkeypatch.setattr(evaluation, "reference", lying)
    record = measure(experiment()).record()
    assert record["mismatched_bytes"] == 1
    first = record["first_difference"]
    assert (first["image"], first["layer"], first["position"]) == (1, "fc3", (4,))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "vgg"}, "no model is called 'vgg'; there are lenet5-mnist"),
        ({"target": "fpga"}, "no target is named 'fpga'; there are sim, reference, uart:PORT"),
        ({"images": 0}, "at least 1"),
        ({"target": "reference", "layers": True}, "layers are of the hardware"),
    ],
    ids=["model", "target", "images", "layers"],
)
def test_refused(changes, text):
    with pytest.raises(LeptonError, match=text):
        measure(experiment(**changes))


def test_more_images_than_the_test_set_has_are_refused_with_both_numbers(monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_: data.sample("mnist"))
    with pytest.raises(LeptonError, match=r"300 images asked for.*MNIST has 256"):
        measure(experiment(images=300))


def test_images_of_a_folder_are_taken_when_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda *_: data.sample("mnist").first(40))
    measured = measure(experiment(target="reference", images=None, folder=tmp_path))
    assert measured.images == 40
    assert str(tmp_path) in measured.source
