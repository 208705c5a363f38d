"""The three datasets: what their images are, how their files are called, where to get them."""

import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pooch

from host.errors import LeptonError
from host.shipped import MODELS

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Dataset:
    """What tells one dataset from another.

    ``mean`` and ``std`` are in units of a pixel step. A whole-numbered mean puts black on a whole
    zero point, so that quantizing an image to int8 loses nothing: it is ``pixel - 128``.
    ``files`` are those of each split in reading order, ``subfolders`` the places where they may
    lie below a data folder, ``downloads`` the checksum of each file to fetch from one of ``urls``.
    """

    title: str
    shape: tuple[int, int, int]
    mean: int
    std: int
    classes: tuple[str, ...]
    files: dict[Split, tuple[str, ...]]
    subfolders: tuple[str, ...]
    urls: tuple[str, ...]
    downloads: dict[str, str]
    package: str | None = None


_IDX_FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

DATASETS: dict[str, Dataset] = {
    "mnist": Dataset(
        title="MNIST",
        shape=(1, 28, 28),
        mean=33,
        std=79,
        classes=tuple("0123456789"),
        files=_IDX_FILES,
        subfolders=("mnist", "MNIST", "MNIST/raw"),
        # The author's own site refuses downloads at times; the checksums make a mirror as good.
        urls=(
            "https://yann.lecun.com/exdb/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        downloads={
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",  # noqa: E501
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",  # noqa: E501
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",  # noqa: E501
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",  # noqa: E501
        },
    ),
    "fashion-mnist": Dataset(
        title="Fashion-MNIST",
        shape=(1, 28, 28),
        mean=73,
        std=90,
        classes=tuple("top trouser pullover dress coat sandal shirt sneaker bag boot".split()),
        files=_IDX_FILES,
        subfolders=("fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
        urls=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        downloads={
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",  # noqa: E501
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",  # noqa: E501
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",  # noqa: E501
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",  # noqa: E501
        },
        package="dataset-fashion-mnist",
    ),
    "cifar10": Dataset(
        title="CIFAR-10",
        shape=(3, 32, 32),
        mean=121,
        std=64,
        classes=tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
        files={
            "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        subfolders=("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
        urls=("https://www.cs.toronto.edu/~kriz/",),
        downloads={"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
    ),
}


def key_of(name: str) -> str:
    """The key in ``DATASETS`` for a dataset's name or the name of a model trained on it."""
    key = MODELS[name].dataset if name in MODELS else name
    if key not in DATASETS:
        raise LeptonError(f"no dataset is called {name!r}; there are {', '.join(DATASETS)}")
    return key


def cache() -> Path:
    """The folder that downloads go to."""
    return Path(pooch.os_cache("lepton"))


def advice(key: str) -> str:
    """How to get a set by hand, as the second half of a sentence."""
    info = DATASETS[key]
    package = f" (or install Debian's package {info.package})" if info.package else ""
    return (
        f"put the files of {info.urls[-1]}{next(iter(info.downloads)) if key == 'cifar10' else ''} "
        f"into a folder and name it with --data or LEPTON_DATA{package}"
    )


def fetch(name: str, folder: Path) -> Path:
    """Download a dataset into a sub-folder of ``folder``, which ``data.load`` will find.

    Every file is checked against its SHA-256 (CIFAR-10: the MD5 that its page publishes) before
    it takes its name; what is there already stays. ``LeptonError`` if no address has it.
    """
    key = key_of(name)
    target = Path(folder) / DATASETS[key].subfolders[0]
    for file, checksum in DATASETS[key].downloads.items():
        fetched = _fetch_file(key, file, checksum, target)
        if file.endswith(".tar.gz"):
            _unpack(fetched, [n for names in DATASETS[key].files.values() for n in names])
    return target


def _fetch_file(key: str, file: str, checksum: str, target: Path) -> Path:
    reasons = []
    for url in DATASETS[key].urls:
        try:
            return Path(pooch.retrieve(url + file, checksum, file, target))
        # Connections fail as OSErrors; "hash does not match" is a ValueError.
        except (OSError, ValueError) as error:
            reasons.append(f"{url}: {str(error).splitlines()[0]}")
    raise LeptonError(
        f"{DATASETS[key].title}: {file} could not be fetched ({'; '.join(reasons)}); {advice(key)}"
    )


def _unpack(archive: Path, names: list[str]) -> None:
    """Take ``names`` out of CIFAR-10's archive into its folder, each whole or not at all."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            content = tar.extractfile(member) if name in names else None
            if content is not None:
                partial = archive.with_name(f"{name}.part")
                partial.write_bytes(content.read())
                partial.replace(archive.with_name(name))
    archive.unlink()
