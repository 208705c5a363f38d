"""The parts of compression by themselves, on networks that train in a moment."""

import copy
from collections import OrderedDict
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from torch import nn

from host import data, models, train
from host.capture import quiet
from host.checkpoint import Checkpoint
from host.compiler import compile
from host.compress import exact, groups, qat
from host.compress.distill import Distillation
from host.compress.widths import Goal, Pruner
from host.cost import predict
from host.data import Images
from host.errors import LeptonError
from host.integer_reference import reference
from host.monitor import Monitor
from host.muon import Muon, orthogonal
from host.observers import Scheme
from host.qgraph import Conv2d, Linear
from host.quantization import quantize
from hw.config import Config
from tests.host.networks import random_network

CORE = Config(rows=6, cols=4)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Batches of this size gain nothing from threads that wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network():
    """A network with everything that pruning has to follow: BatchNorm, pools, Flatten."""
    torch.manual_seed(5)
    norm = nn.BatchNorm2d(9)
    norm.running_mean = torch.rand(9) * 0.4 - 0.2
    norm.running_var = torch.rand(9) * 1.5 + 0.5
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(1, 9, 3, padding=1),
        norm1=norm,
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(4),
        conv2=nn.Conv2d(9, 10, 3, bias=False),
        relu2=nn.ReLU(),
        pool2=nn.AvgPool2d(5),
        flatten=nn.Flatten(),
        fc1=nn.Linear(10, 14),
        relu3=nn.ReLU(),
        fc2=nn.Linear(14, 10),
    )
    return nn.Sequential(layers).eval()


SHAPE = (1, 28, 28)


@pytest.fixture(scope="module")
def images():
    return data.sample("mnist").first(128)


@pytest.fixture(scope="module")
def inputs(images):
    return data.normalize(images.pixels, "mnist")


def test_groups_are_the_layers_whose_outputs_others_read():
    found = groups.find(network(), SHAPE)
    assert [(g.name, g.channels, g.inputs) for g in found] == [
        ("conv1", 9, (("conv2", 1),)),
        ("conv2", 10, (("fc1", 1),)),
        ("fc1", 14, (("fc2", 1),)),
    ]


def test_a_flattened_channel_is_as_many_inputs_as_it_has_positions():
    found = {g.name: g.inputs for g in groups.find(models.lenet5(), SHAPE)}
    assert found["conv2"] == (("fc1", 25),)


@pytest.mark.parametrize(
    ("make", "name", "channels"),
    [(network, "conv1", [0, 7]), (network, "conv2", [3]), (network, "fc1", [13, 2, 5]),
     (models.lenet5, "conv2", [1, 15])],
    ids=["conv with BatchNorm", "conv before a pool", "linear", "conv before Flatten"],
)  # fmt: skip
def test_pruned_channels_take_with_them_all_that_reads_them(inputs, make, name, channels):
    torch.manual_seed(1)
    whole = make().eval()
    reader, count = {g.name: g for g in groups.find(whole, SHAPE)}[name].inputs[0]
    smaller = groups.without(whole, SHAPE, name, channels)
    # A channel that nobody listens to is a channel that is not there.
    silent = copy.deepcopy(whole)
    with torch.no_grad():
        weight = silent.get_submodule(reader).get_parameter("weight")
        for channel in channels:
            weight[:, channel * count : (channel + 1) * count] = 0
        np.testing.assert_allclose(smaller(inputs), silent(inputs), rtol=1e-4, atol=1e-5)
    left = len(whole.get_submodule(name).get_parameter("weight")) - len(channels)
    assert len(smaller.get_submodule(name).get_parameter("weight")) == left


def test_pruning_leaves_the_module_that_it_was_given(inputs):
    module = network()
    with torch.no_grad():
        before = module(inputs)
        groups.without(module, SHAPE, "conv1", [1, 2, 3])
        assert torch.equal(module(inputs), before)


def test_the_least_important_channel_is_the_one_that_changes_nothing(images):
    module = network()
    with torch.no_grad():
        # Far above zero, so that no other channel is cut off by the ReLU for all images.
        module.get_submodule("fc1").get_parameter("bias").fill_(3)
        module.get_submodule("fc1").get_parameter("weight")[6] = 0
        module.get_submodule("fc1").get_parameter("bias")[6] = 0
        module.get_submodule("fc2").get_parameter("weight")[:, 6] = 0
    assert groups.importance(module, SHAPE, images, "mnist")["fc1"][0] == 6


@pytest.mark.parametrize("widths", [(3, 10, 14), (9, 4, 5), (1, 1, 1), (7, 9, 13)], ids=str)
def test_the_predicted_cost_of_widths_is_that_of_the_pruned_network(inputs, widths):
    module = network()
    found = groups.find(module, SHAPE)
    wanted = dict(zip((g.name for g in found), widths, strict=True))
    goal = Goal(CORE)
    predicted = goal.cost(groups.narrowed(quantize(module, inputs), found, wanted))
    for group in found:
        gone = list(range(group.channels - wanted[group.name]))
        module = groups.without(module, SHAPE, group.name, gone)
    really = predict(compile(quantize(module, inputs), CORE)).cycles_per_image
    assert predicted == really


@pytest.fixture
def pruner(images, inputs):
    module = network()
    return lambda goal: Pruner(module, quantize(module, inputs), goal, images, "mnist")


@pytest.mark.parametrize("share", [0.75, 0.5, 0.3])
def test_pruning_ends_within_the_share_of_cycles_and_wastes_no_column(pruner, inputs, share):
    made = pruner(Goal(CORE))
    made.down_to(share)
    most = share * made.start
    graph = quantize(made.module, inputs)
    assert predict(compile(graph, CORE)).cycles_per_image == made.cost <= most
    found = {g.name: g.channels for g in groups.find(made.module, SHAPE)}
    assert found == made.widths
    # Where one channel more would cost nothing, or no more than may be spent, it is there.
    for group in made.original:
        if found[group.name] < group.channels:
            wider = {**found, group.name: found[group.name] + 1}
            assert made.cost_at(wider) > min(most, made.cost), group.name


def test_widths_land_on_multiples_of_the_columns_where_that_saves_cycles(images, inputs):
    torch.manual_seed(2)
    layers = OrderedDict[str, nn.Module](
        flatten=nn.Flatten(), fc1=nn.Linear(784, 31), relu=nn.ReLU(), fc2=nn.Linear(31, 10)
    )
    module = nn.Sequential(layers).eval()
    made = Pruner(module, quantize(module, inputs), Goal(CORE), images, "mnist")
    made.down_to(0.6)
    # 31 neurons are 8 columns of tiles; of the 0.6 * 8 that may stay 4 are whole.
    assert made.widths == {"fc1": 4 * CORE.cols}


def test_pruning_for_multiply_accumulates_counts_those(pruner, inputs):
    made = pruner(Goal(CORE, by="macs"))
    made.down_to(0.4)
    assert quantize(made.module, inputs).macs == made.cost <= 0.4 * made.start


def test_what_cannot_be_pruned_that_far_ends_at_one_channel_each(pruner):
    made = pruner(Goal(CORE, by="macs"))
    made.down_to(1e-6)
    assert set(made.widths.values()) == {1}


def test_given_widths_are_those_of_the_pruned_network(pruner):
    made = pruner(Goal(CORE))
    made.to({"conv1": 4, "fc1": 14})
    found = {g.name: g.channels for g in groups.find(made.module, SHAPE)}
    assert found == made.widths == {"conv1": 4, "conv2": 10, "fc1": 14}
    assert made.cost == made.cost_at(found) < made.start


@pytest.mark.parametrize(
    ("widths", "said"),
    [({"fc2": 4}, "no layer 'fc2' can be pruned; there are conv1, conv2, fc1"),
     ({"conv1": 10}, "conv1 is from 1 to 9, not 10"), ({"conv1": 0}, "is from 1 to 9, not 0")],
    ids=str,
)  # fmt: skip
def test_impossible_widths_are_refused(pruner, widths, said):
    with pytest.raises(LeptonError, match=said):
        pruner(Goal(CORE)).to(widths)


@pytest.mark.parametrize("shape", [(6, 75), (40, 12), (9, 9)], ids=str)
def test_an_orthogonalized_matrix_keeps_its_directions_at_one_length(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    along = u.T @ orthogonal(matrix) @ v.T
    kept = along.diagonal()[s > 0.05 * s.norm()]
    assert len(kept) > len(s) / 2
    assert float(kept.min()) > 0.6
    assert float(kept.max()) < 1.3
    assert float((along - along.diagonal().diag()).abs().max()) < 1e-3


def test_muon_moves_weights_and_adamw_the_rest_and_the_classes():
    module = network()
    others, weights = (
        group["params"] for group in Muon(module.parameters(), 0.02, 0.01).param_groups
    )
    named_ = {id(parameter): name for name, parameter in module.named_parameters()}
    assert [named_[id(p)] for p in weights] == ["conv1.weight", "conv2.weight", "fc1.weight"]
    assert "fc2.weight" in {named_[id(p)] for p in others}
    assert len(weights) + len(others) == len(named_)


def test_adopted_widths_are_the_network_of_then(pruner, inputs):
    first, second = (pruner(Goal(CORE)) for _ in range(2))
    first.down_to(0.5)
    second.adopt(first.module.state_dict(), first.widths)
    assert (second.widths, second.cost) == (first.widths, first.cost)
    with torch.no_grad():
        assert torch.equal(second.module(inputs), first.module(inputs))


def test_the_distilled_loss_is_that_of_its_formula():
    logits, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    give = {"s": logits, "t": teacher}
    student, wise = (
        type("Fixed", (nn.Module,), {"forward": lambda _, __, key=key: give[key]})() for key in "st"
    )
    temperature, share = 2.0, 0.25
    found = Distillation(temperature, share).loss(wise)(student, logits, torch.tensor([1]))
    # By hand: softmax of (0.5, 0) against that of (0, 1), and cross entropy of class 1.
    p = 1 / (1 + np.exp(1.0))
    q = 1 / (1 + np.exp(-0.5))
    soft = p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
    hard = log(1 + np.exp(1.0))
    assert float(found) == pytest.approx(0.75 * hard + 0.25 * 4 * soft, rel=1e-5)


def test_distillation_brings_a_student_near_its_teacher_and_leaves_the_teacher(images, inputs):
    teacher, student = network(), network()
    torch.manual_seed(9)
    for layer in student.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    with torch.no_grad():
        wanted = teacher(inputs).softmax(1)
        far = float((student(inputs).softmax(1) - wanted).abs().mean())
    before = copy.deepcopy(teacher.state_dict())
    recipe = train.Recipe(epochs=6, batch=32, shift=0, mirror=False)
    train.fit(student, images, "mnist", recipe, loss=Distillation(1.0, 1.0).loss(teacher))
    with torch.no_grad():
        near = float((student(inputs).softmax(1) - wanted).abs().mean())
    assert near < far / 2
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("fields", [{"temperature": 0}, {"share": 1.5}, {"share": -0.1}], ids=str)
def test_impossible_distillation_is_refused(fields):
    with pytest.raises(LeptonError, match=r"must be above 0|from 0 to 1"):
        Distillation(**fields)


@pytest.mark.parametrize("seed", range(20))
def test_the_floating_point_network_equals_the_reference(seed):
    module, inputs = random_network(seed)
    if inputs.ndim != 4:
        return
    graph = quantize(module, inputs)
    wanted = reference(graph, inputs, dequantize=False)
    np.testing.assert_array_equal(exact.logits(graph, inputs).numpy(), wanted)


def test_sums_beyond_float32_are_exact_too():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4096, 3)).eval()
    inputs = torch.rand(16, 16, 16, 16) + 0.5
    graph = quantize(module, inputs)
    # Every weight is large, so that a sum passes 2**24.
    layer = replace(graph.layers[-1], weight=np.full((3, 4096), 127, np.int8))
    graph = replace(graph, layers=(*graph.layers[:-1], layer))
    wanted = reference(graph, inputs, layers=True)["1"]
    np.testing.assert_array_equal(exact.logits(graph, inputs).numpy(), wanted)


RECIPE = train.Recipe(epochs=4, batch=32, peak_rate=1e-2, shift=0, mirror=False)


def trained_quantized(images, inputs, **options):
    return qat.train_quantized(network(), images, "mnist", inputs, RECIPE, **options)


def cross_entropy(graph, images, inputs):
    logits = torch.from_numpy(reference(graph, inputs))
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(images.labels).long()))


def test_training_with_rounding_improves_the_integers(images, inputs):
    module = models.load("lenet5-mnist")
    torch.manual_seed(4)
    module.get_submodule("fc3").reset_parameters()  # type: ignore[operator]
    before = cross_entropy(quantize(module, inputs), images, inputs)
    trained = qat.train_quantized(module, images, "mnist", inputs, RECIPE, scheme=Scheme("tensor"))
    assert cross_entropy(trained, images, inputs) < before / 2


def test_training_with_rounding_does_not_change_the_module(images, inputs):
    module = network()
    before = copy.deepcopy(module.state_dict())
    qat.train_quantized(module, images, "mnist", inputs, replace(RECIPE, epochs=1))
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_fewer_images_than_a_batch_are_trained_on_too(images, inputs):
    found = qat.train_quantized(
        network(), images.first(20), "mnist", inputs, replace(RECIPE, epochs=1)
    )
    assert found.info["trained"] == "1 epochs quantized"
    nothing = Images(images.pixels[:0], images.labels[:0])
    with pytest.raises(LeptonError, match="there are no mnist images to train on"):
        qat.train_quantized(network(), nothing, "mnist", inputs, RECIPE)


class _Stop(Monitor):
    """Interrupts a training behind so many steps."""

    def __init__(self, after):
        self.after, self.resumed = after, None

    def resume(self, done):
        self.resumed = done

    def step(self, loss):
        self.after -= 1
        if not self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stopped_training_goes_on_to_the_same_bytes(tmp_path, images, optimizer):
    whole, stopped = network(), network()
    recipe = RECIPE.by(optimizer)
    train.fit(whole, images, "mnist", recipe, seed=3)
    checkpoint = Checkpoint(tmp_path / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        # Four steps an epoch: in the third of four.
        train.fit(
            stopped, images, "mnist", recipe, seed=3, checkpoint=checkpoint, monitors=[_Stop(10)]
        )
    other, watch = network(), _Stop(-1)
    train.fit(other, images, "mnist", recipe, seed=3, checkpoint=checkpoint, monitors=[watch])
    assert watch.resumed == 8
    assert all(torch.equal(v, whole.state_dict()[n]) for n, v in other.state_dict().items())


def test_a_stopped_training_with_rounding_goes_on_to_the_same_bytes(tmp_path, images, inputs):
    whole = trained_quantized(images, inputs)
    checkpoint = Checkpoint(tmp_path / "state.pt")
    with pytest.raises(KeyboardInterrupt):
        trained_quantized(images, inputs, checkpoint=checkpoint, monitors=[_Stop(10)])
    resumed = trained_quantized(images, inputs, checkpoint=checkpoint)
    for layer, wanted in zip(resumed.layers, whole.layers, strict=True):
        if isinstance(wanted, Conv2d | Linear):
            assert isinstance(layer, Conv2d | Linear)
            np.testing.assert_array_equal(layer.weight, wanted.weight)
            np.testing.assert_array_equal(layer.bias, wanted.bias)
    with quiet():
        found, expected = (reference(g, inputs, dequantize=False) for g in (resumed, whole))
    np.testing.assert_array_equal(found, expected)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.pt")
    assert checkpoint.load() is None
    checkpoint.save({"epochs": 1})
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:40])
    with pytest.raises(LeptonError, match="is damaged; remove it to do this step again"):
        checkpoint.load()
