"""Training: it learns, repeats itself, hooks in where it says, and saves whole files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from host import data, models, monitor, train
from host.data import Images
from host.errors import LeptonError

QUICK = train.Recipe(epochs=2, batch=32, mirror=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Batches of this size gain nothing from threads that wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny(tmp_path):
    """A data folder whose CIFAR-10 has five images in each batch."""
    images = data.sample("cifar10")
    rows = np.concatenate([images.labels[:, None], images.pixels.reshape(256, -1)], axis=1)
    for i, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        (tmp_path / name).write_bytes(rows[5 * i : 5 * i + 5].tobytes())
    return tmp_path


def test_two_trainings_with_one_seed_give_the_same_bytes(tiny):
    files = []
    for run in ("a", "b"):
        torch.rand(
            len(run) + len(files)
        )  # What others drew from the global generator is no matter.
        trained = train.train("lenet_cifar", epochs=1, seed=7, folder=tiny, out=tiny / run / "m.pt")
        files.append(trained.weights.read_bytes())
    assert files[0] == files[1]


def test_another_seed_gives_other_weights(tiny):
    states = [
        torch.load(
            train.train("lenet_cifar", epochs=1, seed=s, folder=tiny, out=tiny / "m.pt").weights
        )
        for s in (1, 2)
    ]
    assert not torch.equal(states[0]["fc3.weight"], states[1]["fc3.weight"])


def test_training_leaves_loadable_weights_and_says_what_made_them(tiny):
    trained = train.train(
        "lenet_cifar",
        "cifar10",
        epochs=1,
        seed=3,
        folder=tiny,
        out=tiny / "w" / "m.pt",
        note="tiny",
    )
    module = models.load("lenet-cifar10", trained.weights)
    tests = data.load("cifar10", "test", tiny)
    metadata = json.loads(trained.metadata.read_text())
    assert train.evaluate(module, tests, "cifar10") == trained.accuracy
    assert metadata["command"] == "lepton train lenet_cifar --dataset cifar10 --epochs 1 --seed 3"
    assert metadata["test_accuracy"] == trained.accuracy
    assert (metadata["train_images"], metadata["test_images"]) == (25, 5)
    assert (metadata["seed"], metadata["epochs"], metadata["note"]) == (3, 1, "tiny")
    assert metadata["torch"] == torch.__version__
    assert sorted(p.name for p in (tiny / "w").iterdir()) == ["m.json", "m.pt"]


def test_training_does_not_touch_the_global_generator(tiny):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    train.train("lenet_cifar", epochs=1, folder=tiny, out=tiny / "m.pt")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fit_learns_the_sample():
    torch.manual_seed(0)
    module, images = models.lenet5(), data.sample("mnist")
    train.fit(module, images, "mnist", replace(QUICK, epochs=12, shift=0))
    assert train.evaluate(module, images, "mnist") > 0.9
    assert not module.training


def test_fit_takes_a_loss_of_the_callers_and_calls_back_after_each_step():
    def to_zero(module, inputs, labels):
        return module(inputs).square().mean() + 0 * labels.sum()

    def prune(module):
        module.fc1.weight.data[0] = 0

    class Count(monitor.Monitor):
        steps = expected = epochs = 0

        def start(self, steps):
            self.expected = steps

        def step(self, loss):
            self.steps += 1

        def epoch(self, number, loss):
            self.epochs = number

    module, images, count = models.lenet5(), data.sample("mnist").first(100), Count()
    inputs = data.normalize(images.pixels, "mnist")
    before = module(inputs).square().mean()
    train.fit(module, images, "mnist", QUICK, loss=to_zero, after_step=prune, monitors=[count])
    assert module(inputs).square().mean() < before
    assert not module.get_submodule("fc1").get_parameter("weight")[0].any()
    assert (count.steps, count.expected, count.epochs) == (8, 8, 2)


def test_augmented_images_are_the_originals_shifted_and_maybe_mirrored():
    image = torch.arange(1, 10, dtype=torch.uint8).reshape(1, 1, 3, 3)
    padded = nn.functional.pad(image, (1, 1, 1, 1))
    recipe = train.Recipe(epochs=1, shift=1, mirror=True)
    possible = {
        flip.flatten().numpy().tobytes()
        for down in range(3)
        for right in range(3)
        for cut in [padded[0, 0, down : down + 3, right : right + 3]]
        for flip in (cut, cut.flip(1))
    }
    generator = torch.Generator().manual_seed(0)
    made = train.augment(padded, torch.zeros(400, dtype=torch.long), recipe, generator)
    assert {m.flatten().numpy().tobytes() for m in made} == possible


def test_a_seed_shifts_and_mirrors_as_it_did_when_the_shipped_weights_were_made():
    images = torch.randint(0, 256, (9, 3, 6, 5), dtype=torch.uint8)
    padded, chosen = nn.functional.pad(images, (2,) * 4), torch.tensor([4, 0, 7, 7])
    recipe = train.Recipe(epochs=1, shift=2, mirror=True)
    made = train.augment(padded, chosen, recipe, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    down, right = torch.randint(0, 5, (2, 4, 1), generator=generator).tolist()
    mirrored = torch.rand(4, 1, generator=generator) < 0.5
    assert 0 < int(mirrored.sum()) < 4
    for i, (y,), (x,), flip, image in zip(chosen, down, right, mirrored, made, strict=True):
        cut = padded[i, :, y : y + 6, x : x + 5]
        assert torch.equal(image, cut.flip(2) if flip else cut)


def test_an_epoch_shows_every_image_once():
    images = Images(np.zeros((70, 1, 28, 28), np.uint8), np.arange(70, dtype=np.uint8))
    seen = [labels for _, labels in train.batches(images, "mnist", QUICK, torch.Generator(), 1)]
    assert [len(labels) for labels in seen] == [32, 32, 6]
    assert torch.cat(seen).sort().values.tolist() == list(range(70))


def test_evaluate_counts_right_answers_and_keeps_the_mode():
    class Brightest(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10]

    pixels = np.zeros((4, 1, 28, 28), np.uint8)
    pixels[range(4), 0, 0, [3, 1, 4, 1]] = 255
    images = Images(pixels, np.array([3, 1, 4, 2], np.uint8))
    module = Brightest().train()
    assert train.evaluate(module, images, "mnist", batch=3) == 0.75
    assert module.training


def test_tensorboard_logs_appear_on_request(tiny):
    pytest.importorskip("tensorboard")
    train.train("lenet_cifar", epochs=1, folder=tiny, out=tiny / "m.pt", tensorboard=tiny / "logs")
    assert list((tiny / "logs").glob("events.out.tfevents.*"))


def test_no_epochs_are_refused(tiny):
    with pytest.raises(LeptonError, match="epochs=0"):
        train.train("lenet_cifar", epochs=0, folder=tiny, out=tiny / "m.pt")


def test_an_unwritable_place_is_refused_by_name(tiny):
    (tiny / "file").write_text("")
    with pytest.raises(LeptonError, match=r"m\.pt: cannot be written"):
        train.train("lenet_cifar", epochs=1, folder=tiny, out=tiny / "file" / "m.pt")


def test_an_empty_set_is_refused():
    nothing = data.sample("mnist").first(0)
    with pytest.raises(LeptonError, match="no mnist images to train on"):
        train.fit(models.lenet5(), nothing, "mnist", QUICK)
    with pytest.raises(LeptonError, match="no mnist images to evaluate on"):
        train.evaluate(models.lenet5(), nothing, "mnist")
