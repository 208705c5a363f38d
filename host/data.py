"""Images and labels: read from a dataset's official files, or from the samples that ship."""

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from host import datasets
from host.datasets import DATASETS, Split, key_of
from host.errors import LeptonError

if TYPE_CHECKING:
    import torch

SAMPLES = Path(__file__).parent / "samples"
DEBIAN = Path("/usr/share/datasets")


@dataclass(frozen=True)
class Images:
    """Images as uint8 (N, C, H, W) and their classes, 0 to 9, as uint8 (N,)."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> "Images":
        """The first ``n`` images, or all of them where there are fewer."""
        return Images(self.pixels[:n], self.labels[:n])


def load(dataset: str, split: Split, folder: Path | None = None) -> Images:
    """All images of a split, from the first place that has its files.

    With ``folder`` that is the only place; else LEPTON_DATA, Debian's folder and, where
    LEPTON_DATA is not set, the download cache, which is filled at need. ``LeptonError`` if no
    place has them all, or one of them is not what it should be.
    """
    key = key_of(dataset)
    named = folder or os.environ.get("LEPTON_DATA")
    places = ([Path(named)] if named else []) + ([] if folder else [DEBIAN])
    places += [] if named else [datasets.cache()]
    for place in places:
        files, missing = _files_in(place, key, split)
        if not missing:
            return _read(files, key)
    if named:
        _, missing = _files_in(Path(named), key, split)
        title, advice = DATASETS[key].title, datasets.advice(key)
        raise LeptonError(
            f"{named} has no {title}: {' and '.join(missing)} not found; {advice}, "
            f"or set neither to have them downloaded"
        )
    datasets.fetch(key, datasets.cache())
    return load(key, split, datasets.cache())


def _files_in(place: Path, key: str, split: Split) -> tuple[list[Path], list[str]]:
    """The files of a split in reading order, plain or .gz, and the names of those missing.

    Both from the one of ``place``'s folders that misses the fewest.
    """
    names = DATASETS[key].files[split]
    best: tuple[list[Path], list[str]] = ([], list(names))
    for folder in _folders(place, key):
        either = {n: [p for p in (folder / n, folder / f"{n}.gz") if p.is_file()] for n in names}
        missing = [n for n in names if not either[n]]
        if len(missing) < len(best[1]):
            best = ([paths[0] for paths in either.values() if paths], missing)
    return best


def _folders(place: Path, key: str) -> Iterator[Path]:
    """Sub-folders first: MNIST and Fashion-MNIST name their files alike, only folders tell."""
    yield from (place / name for name in DATASETS[key].subfolders)
    others = {n for k, d in DATASETS.items() if k != key for n in d.subfolders}
    if place.name not in others:
        yield place


def _read(files: list[Path], key: str) -> Images:
    info = DATASETS[key]
    if key == "cifar10":
        parts = [read_cifar(path) for path in files]
        pixels = np.concatenate([part.pixels for part in parts])
        return Images(pixels, np.concatenate([part.labels for part in parts]))
    pixels, labels = (read_idx(path, dims) for path, dims in zip(files, (3, 1), strict=True))
    if pixels.shape[1:] != info.shape[1:]:
        raise LeptonError(f"{files[0]}: images of {pixels.shape[1:]}, not {info.shape[1:]}")
    if len(pixels) != len(labels):
        raise LeptonError(f"{files[1]}: {len(labels)} labels for {len(pixels)} images")
    return Images(pixels[:, None], _checked(labels, files[1]))


def read_idx(path: Path, dims: int) -> np.ndarray:
    """The uint8 array with ``dims`` dimensions in an IDX file, plain or .gz."""
    raw = _bytes(path)
    head, magic = 4 + 4 * dims, 0x0800 | dims
    if len(raw) < head:
        raise LeptonError(f"{path}: {len(raw)} bytes, too short for an IDX header of {head}")
    found, *shape = np.frombuffer(raw, ">u4", 1 + dims).tolist()
    if found != magic:
        raise LeptonError(f"{path}: starts with {found:#010x}, an IDX file with {magic:#010x}")
    expected = head + math.prod(shape)
    if len(raw) != expected:
        raise LeptonError(f"{path}: {len(raw)} bytes, but its header {shape} means {expected}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape).copy()


def read_cifar(path: Path) -> Images:
    """The images in one file of CIFAR-10's binary version: 1 label and 3,072 pixels each."""
    raw = _bytes(path)
    record = 1 + math.prod(DATASETS["cifar10"].shape)
    if not raw or len(raw) % record:
        raise LeptonError(f"{path}: {len(raw)} bytes, not a whole number of {record}-byte records")
    rows = np.frombuffer(raw, np.uint8).reshape(-1, record)
    pixels = rows[:, 1:].reshape(-1, *DATASETS["cifar10"].shape)
    return Images(pixels.copy(), _checked(rows[:, 0].copy(), path))


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise LeptonError(f"{path}: cannot be read ({error})") from error


def _checked(labels: np.ndarray, path: Path) -> np.ndarray:
    if labels.max(initial=0) > 9:
        raise LeptonError(f"{path}: has the label {labels.max()}; labels are 0 to 9")
    return labels


def sample(name: str) -> Images:
    """The 256 test images of a dataset, or of a model's, that ship with Lepton."""
    return _shipped(key_of(name), "test")


def calibration(name: str, n: int = 256) -> "torch.Tensor":
    """``n`` normalized training images (never test images) to choose quantization ranges with."""
    images = _shipped(key_of(name), "train")
    if not 1 <= n <= len(images):
        raise LeptonError(f"{n} calibration images asked for; 1 to {len(images)} ship")
    return normalize(images.pixels[:n], name)


def samples(key: str, split: Split) -> Path:
    """The images of a split that ship."""
    return SAMPLES / f"{key}-{split}.npz"


def _shipped(key: str, split: Split) -> Images:
    with np.load(samples(key, split), allow_pickle=False) as archive:
        return Images(archive["pixels"], archive["labels"])


def normalize(pixels: "np.ndarray | torch.Tensor", name: str) -> "torch.Tensor":
    """Pixels as the models were trained on them: float32, about zero mean and unit variance."""
    # It takes seconds to load, and most of what is here does without it.
    import torch

    info = DATASETS[key_of(name)]
    return (torch.as_tensor(pixels).float() - info.mean) / info.std
