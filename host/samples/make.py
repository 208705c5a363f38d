"""Write the images that ship with Lepton: ``python -m host.samples.make --data DIR``.

The first 256 test images of each dataset are samples, its first 256 training images are for
calibration. ``--cifar-test`` takes CIFAR-10's test images from a file in its binary layout
instead: the shipped ones have their original pixels, while the training images of the copy that
they lay beside had been through JPEG. Each .npz says in ``source`` what it holds.
"""

import argparse
from pathlib import Path
from typing import get_args

import numpy as np

from host import data
from host.datasets import DATASETS, Split

COUNT = 256


def main() -> None:
    """Make all six files beside this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cifar-test", type=Path)
    parser.add_argument("--cifar-note", default="as in its official files")
    options = parser.parse_args()
    for key, info in DATASETS.items():
        for split in get_args(Split):
            note = "as in its official files"
            if key == "cifar10" and split == "test" and options.cifar_test:
                images = data.read_cifar(options.cifar_test)
            else:
                images = data.load(key, split, options.data)
                note = options.cifar_note if key == "cifar10" else note
            write(images.first(COUNT), f"{info.title}, first {split} images, {note}", key, split)


def write(images: data.Images, source: str, key: str, split: Split) -> None:
    """One compressed .npz with pixels, labels and where they are from."""
    path = data.SAMPLES / f"{key}-{split}.npz"
    np.savez_compressed(path, pixels=images.pixels, labels=images.labels, source=np.array(source))
    print(f"{path}: {len(images)} images, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
