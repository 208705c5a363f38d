"""Names of models, folders of compressed models, and the files in them."""

import json
import shutil

import numpy as np
import pytest
import torch

from host import catalog, graph_file, models, qgraph, shipped
from host.errors import LeptonError
from host.integer_reference import reference
from host.quantization import quantize
from tests.host.networks import random_network


@pytest.mark.parametrize("seed", range(12))
def test_a_network_comes_back_from_its_file_as_it_was(tmp_path, seed):
    module, inputs = random_network(seed, max_size="tiny")
    graph = quantize(module, inputs)
    graph_file.save(graph, tmp_path / "network")
    again = graph_file.load(tmp_path / "network")
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in graph.layers]
    assert (again.input, again.output, again.input_shape) == (
        graph.input,
        graph.output,
        graph.input_shape,
    )
    assert again.info == graph.info
    found, wanted = (reference(g, inputs, layers=True) for g in (again, graph))
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.fixture
def saved(tmp_path):
    graph = quantize(*random_network(1, max_size="tiny"))
    graph_file.save(graph, tmp_path / "network")
    return tmp_path / "network"


def test_a_damaged_network_file_is_refused(saved):
    content = bytearray(saved.read_bytes())
    for place in (len(graph_file.MAGIC) + 3, len(content) // 2, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        saved.write_bytes(damaged)
        with pytest.raises(LeptonError, match="damaged: its checksum is wrong"):
            graph_file.load(saved)
    saved.write_bytes(content[:-5])
    with pytest.raises(LeptonError, match="damaged"):
        graph_file.load(saved)


def test_another_file_is_not_taken_for_a_network(tmp_path):
    (tmp_path / "other").write_bytes(b"LEPTON program 2\n" + bytes(100))
    with pytest.raises(LeptonError, match="not a Lepton network of this version"):
        graph_file.load(tmp_path / "other")
    with pytest.raises(LeptonError, match="cannot be read: No such file"):
        graph_file.load(tmp_path / "nothing")


def test_what_was_compressed_from_a_model_is_among_its_variants():
    assert catalog.variants_of("lenet5-mnist") == ("lenet5-mnist-small",)
    assert catalog.variants_of("lenet5-fashion") == ()
    assert set(catalog.names()) == {*shipped.MODELS, *catalog.variants()}


@pytest.mark.parametrize("name", catalog.variants())
def test_a_shipped_variant_is_smaller_than_its_base_and_says_what_made_it(name):
    source = catalog.find(name)
    info = catalog.read_info(catalog.variants()[name])
    base = models.load(source.base)
    shape = shipped.MODELS[source.base].input_shape
    assert sum(models.macs(source.module, shape).values()) == source.quantize(16).macs
    assert source.quantize(16).macs < sum(models.macs(base, shape).values())
    assert info["command"].startswith(f"lepton compress {source.base} ")
    assert info["missed"] is None


@pytest.mark.parametrize("name", catalog.variants())
def test_the_widths_of_a_shipped_variant_are_those_of_its_weights(name):
    source, info = catalog.find(name), catalog.read_info(catalog.variants()[name])
    graph = {layer.name: layer for layer in source.quantize(16).layers}
    for layer, width in info["widths"].items():
        assert len(source.module.get_submodule(layer).get_parameter("weight")) == width
        found = graph[layer]
        assert isinstance(found, qgraph.Conv2d | qgraph.Linear)
        assert len(found.weight) == width


def test_an_unknown_name_is_refused_with_all_names():
    with pytest.raises(LeptonError) as refusal:
        catalog.find("vgg")
    for name in catalog.names():
        assert name in str(refusal.value)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(catalog.variants()["lenet5-mnist-small"], tmp_path / "small")


def test_a_folder_is_a_model_as_a_name_is(folder):
    found, shipped = catalog.find(str(folder)), catalog.find("lenet5-mnist-small")
    assert (found.name, found.base, found.dataset) == (str(folder), "lenet5-mnist", "mnist")
    states = [source.module.state_dict() for source in (found, shipped)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def test_a_folder_of_other_things_is_refused(tmp_path):
    with pytest.raises(LeptonError, match=r"is no compressed model: model\.json cannot be read"):
        catalog.find(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "of another version; compress the model again"),
        ({"base": "vgg"}, "made from 'vgg', which is no model of this version"),
    ],
    ids=str,
)
def test_a_folder_of_another_version_is_refused(folder, change, said):
    path = folder / catalog.INFO
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LeptonError, match=said):
        catalog.find(str(folder))


def test_narrower_multipliers_than_it_was_made_for_are_refused(folder):
    source = catalog.find(str(folder))
    assert source.quantize(24) is source.quantize(16)
    with pytest.raises(
        LeptonError, match="multipliers of 16 bits and the hardware has multiplier_width=12"
    ):
        source.quantize(12)
