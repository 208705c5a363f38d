"""Datasets: what is read, what is refused and why, what is fetched, what ships."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from host import data, datasets
from host.errors import LeptonError

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def no_data_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("LEPTON_DATA", raising=False)
    monkeypatch.setattr(data, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(datasets, "cache", lambda: tmp_path / "cache")


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape) + array.tobytes()


def digits(n=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)


def write_digits(folder, suffix="", n=5):
    pixels, labels = digits(n)
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix else bytes
    (folder / f"{IMAGES}{suffix}").write_bytes(pack(idx(pixels)))
    (folder / f"{LABELS}{suffix}").write_bytes(pack(idx(labels)))
    return pixels, labels


def cifar_bytes(n, seed=0):
    rows = np.random.default_rng(seed).integers(0, 256, (n, 3073), np.uint8)
    rows[:, 0] %= 10
    return rows.tobytes()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_idx_files_are_found_and_read(tmp_path, folder, suffix):
    pixels, labels = write_digits(tmp_path / "home" / folder, suffix)
    images = data.load("mnist", "test", tmp_path / "home")
    assert images.pixels.shape == (5, 1, 28, 28)
    np.testing.assert_array_equal(images.pixels[:, 0], pixels)
    np.testing.assert_array_equal(images.labels, labels)


@pytest.mark.parametrize("folder", ["", "cifar10", "cifar-10-batches-bin"])
def test_cifar_training_batches_are_joined_in_order(tmp_path, folder):
    home = tmp_path / folder
    home.mkdir(exist_ok=True)
    raw = [cifar_bytes(2, seed) for seed in range(5)]
    for i, content in enumerate(raw):
        (home / f"data_batch_{i + 1}.bin").write_bytes(content)
    images = data.load("cifar10", "train", tmp_path)
    rows = np.frombuffer(b"".join(raw), np.uint8).reshape(10, 3073)
    np.testing.assert_array_equal(images.labels, rows[:, 0])
    np.testing.assert_array_equal(images.pixels.reshape(10, -1), rows[:, 1:])


def test_lepton_data_names_the_folder(tmp_path, monkeypatch):
    write_digits(tmp_path / "mine" / "mnist")
    monkeypatch.setenv("LEPTON_DATA", str(tmp_path / "mine"))
    assert len(data.load("mnist", "test")) == 5


def test_debians_folder_is_found_unasked(tmp_path):
    write_digits(tmp_path / "debian" / "fashion-mnist", ".gz")
    assert len(data.load("fashion-mnist", "test")) == 5


def test_a_named_folder_is_the_only_place(tmp_path):
    write_digits(tmp_path / "debian" / "mnist")
    with pytest.raises(LeptonError, match="has no MNIST"):
        data.load("mnist", "test", tmp_path / "elsewhere")


def test_digits_are_not_taken_for_clothes(tmp_path):
    write_digits(tmp_path / "mnist")
    with pytest.raises(LeptonError, match="has no Fashion-MNIST"):
        data.load("fashion-mnist", "test", tmp_path / "mnist")


@pytest.mark.parametrize(
    ("dataset", "hints"),
    [
        ("mnist", ["t10k-images", "LEPTON_DATA", "--data", "https://", "downloaded"]),
        ("fashion-mnist", ["LEPTON_DATA", "Debian's package dataset-fashion-mnist", "http://"]),
        ("cifar10", ["test_batch.bin", "LEPTON_DATA", "cifar-10-binary.tar.gz"]),
    ],
)
def test_a_missing_set_says_how_to_get_it(tmp_path, dataset, hints):
    with pytest.raises(LeptonError) as refusal:
        data.load(dataset, "test", tmp_path)
    assert all(hint in str(refusal.value) for hint in hints), refusal.value


def test_a_half_present_set_names_the_missing_half(tmp_path):
    write_digits(tmp_path)
    (tmp_path / LABELS).unlink()
    with pytest.raises(LeptonError, match=f"has no MNIST: {LABELS} not found"):
        data.load("mnist", "test", tmp_path)


def test_an_unknown_dataset_is_refused_with_the_known_names():
    with pytest.raises(LeptonError, match=r"'imagenet'.*mnist, fashion-mnist, cifar10"):
        data.load("imagenet", "test")


BAD_IMAGES = {
    "labels for images": (idx(digits()[1]), "bytes, too short"),
    "foreign": (b"\x89PNG\r\n\x1a\n" * 9, r"starts with 0x89504e47, an IDX file with 0x00000803"),
    "cut off": (idx(digits()[0])[:-1], r"3935 bytes, but its header \[5, 28, 28\] means 3936"),
    "too long": (idx(digits()[0]) + b"\0", "3937 bytes, but"),
    "empty": (b"", "0 bytes, too short for an IDX header of 16"),
    "other size": (idx(np.zeros((5, 32, 32), np.uint8)), r"images of \(32, 32\), not \(28, 28\)"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image_file_is_refused_with_its_name_and_what_is_wrong(tmp_path, content, reason):
    write_digits(tmp_path)
    (tmp_path / IMAGES).write_bytes(content)
    with pytest.raises(LeptonError, match=f"{IMAGES}: .*{reason}"):
        data.load("mnist", "test", tmp_path)


BAD_LABELS = {
    "fewer": (idx(np.zeros(4, np.uint8)), "4 labels for 5 images"),
    "out of range": (idx(np.array([0, 1, 10, 2, 3], np.uint8)), "has the label 10"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_a_bad_label_file_is_refused(tmp_path, content, reason):
    write_digits(tmp_path)
    (tmp_path / LABELS).write_bytes(content)
    with pytest.raises(LeptonError, match=f"{LABELS}: {reason}"):
        data.load("mnist", "test", tmp_path)


@pytest.mark.parametrize("damage", ["cut off", "not gzip", "flipped"])
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    write_digits(tmp_path, ".gz")
    path = tmp_path / f"{IMAGES}.gz"
    raw = path.read_bytes()
    flipped = raw[:100] + bytes([raw[100] ^ 0xFF]) + raw[101:]
    path.write_bytes({"cut off": raw[:-9], "not gzip": b"hello", "flipped": flipped}[damage])
    with pytest.raises(LeptonError, match=rf"{IMAGES}\.gz: cannot be read"):
        data.load("mnist", "test", tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (cifar_bytes(2)[:-1], "6145 bytes, not a whole number of 3073-byte records"),
        (b"", "0 bytes, not a whole number"),
        (b"\x0a" + bytes(3072), "has the label 10"),
    ],
    ids=["cut off", "empty", "label out of range"],
)
def test_a_bad_cifar_file_is_refused(tmp_path, content, reason):
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(LeptonError, match=rf"test_batch\.bin: {reason}"):
        data.load("cifar10", "test", tmp_path)


@pytest.fixture
def site(tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def offer(monkeypatch, key, url, folder, names):
    sums = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
    changed = dataclasses.replace(datasets.DATASETS[key], urls=(url + "gone/", url), downloads=sums)
    monkeypatch.setitem(datasets.DATASETS, key, changed)


def test_a_set_that_is_nowhere_is_fetched_once_from_the_first_address_that_has_it(
    site, tmp_path, monkeypatch
):
    folder, url = site
    pixels, _ = write_digits(folder, ".gz")
    offer(monkeypatch, "mnist", url, folder, [f"{IMAGES}.gz", f"{LABELS}.gz"])
    np.testing.assert_array_equal(data.load("mnist", "test").pixels[:, 0], pixels)
    (folder / f"{IMAGES}.gz").unlink()
    assert len(data.load("mnist", "test")) == 5
    assert (tmp_path / "cache" / "mnist" / f"{IMAGES}.gz").is_file()


def test_the_cifar_archive_is_unpacked(site, monkeypatch):
    folder, url = site
    names = [n for files in datasets.DATASETS["cifar10"].files.values() for n in files]
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 2 * 3073
            tar.addfile(member, io.BytesIO(cifar_bytes(2)))
    offer(monkeypatch, "cifar10", url, folder, ["cifar-10-binary.tar.gz"])
    assert len(data.load("cifar10", "train")) == 10
    assert len(data.load("cifar10", "test")) == 2


def test_a_download_with_a_wrong_checksum_is_refused_and_leaves_nothing(
    site, tmp_path, monkeypatch
):
    folder, url = site
    write_digits(folder, ".gz")
    offer(monkeypatch, "mnist", url, folder, [f"{IMAGES}.gz", f"{LABELS}.gz"])
    (folder / f"{IMAGES}.gz").write_bytes(b"something else")
    with pytest.raises(LeptonError, match=r"could not be fetched.*LEPTON_DATA"):
        data.load("mnist", "test")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", [*datasets.DATASETS, "lenet5-fashion"])
def test_256_test_images_of_each_set_ship(name):
    images, info = data.sample(name), datasets.DATASETS[datasets.key_of(name)]
    assert images.pixels.shape == (256, *info.shape)
    assert images.pixels.dtype == images.labels.dtype == np.uint8
    assert set(images.labels.tolist()) == set(range(10))


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_calibration_images_are_not_the_test_images(name):
    images = data.calibration(name, 32)
    tests = {image.numpy().tobytes() for image in data.normalize(data.sample(name).pixels, name)}
    assert images.shape == (32, *datasets.DATASETS[name].shape)
    assert not tests & {image.numpy().tobytes() for image in images}


@pytest.mark.parametrize("n", [0, 257])
def test_calibration_images_that_do_not_ship_are_refused(n):
    with pytest.raises(LeptonError, match=f"{n} calibration images asked for; 1 to 256 ship"):
        data.calibration("mnist", n)


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_normalized_pixels_survive_int8_quantization_whole(name):
    """The range from black to white, cut into 255 steps, has every pixel value on a step."""
    x = data.normalize(np.arange(256, dtype=np.uint8), name)
    scale = (x.max() - x.min()) / 255
    zero_point = torch.round(-128 - x.min() / scale)
    q = torch.round(x / scale) + zero_point
    assert q.tolist() == list(range(-128, 128))
