"""A compiled network: everything that the driver loads, in one file."""

import hashlib
import io
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import LeptonError
from host.qgraph import Quantization
from hw.config import Config
from hw.errors import ConfigError

MAGIC = b"LEPTON program 3\n"
DIGEST = hashlib.sha256().digest_size
ARRAYS = ("words", "weights", "table")


@dataclass(frozen=True)
class LayerInfo:
    """A step of the program, for people."""

    name: str
    layers: tuple[str, ...]
    """Layers of the network that it covers."""
    macs: int
    """Of one image."""
    weights: int
    """Weights that it has, as the network knows them; one for each tap and channel of a pool."""


@dataclass(frozen=True)
class Output:
    """What one ``OUTPUT`` packet of a batch holds: tensors of bytes behind each other."""

    layer: str
    shape: tuple[int, int, int]
    """(height, width, channels) without the border."""
    border: tuple[int, int, int, int]
    count: int
    """Images of each lane."""
    graph_shape: tuple[int, ...]
    final: bool
    """It is the network's output, not a tensor on the way."""

    def unpack(self, words: np.ndarray, lanes: int) -> np.ndarray:
        """int8 (packets * count * lanes, *graph_shape) from the words of packets: uint32 (packets,
        n), where those of all lanes for one address follow each other."""
        height, width, channels = self.shape
        top, bottom, left, right = self.border
        outer = (height + top + bottom, width + left + right, channels)
        size = self.count * outer[0] * outer[1] * outer[2]
        by_lane = words.reshape(len(words), -1, lanes).transpose(0, 2, 1)
        values = np.ascontiguousarray(by_lane, "<u4").view(np.int8)[..., :size]
        images = values.reshape(len(words), lanes, self.count, *outer).swapaxes(1, 2)
        maps = images.reshape(-1, *outer)[:, top : top + height, left : left + width]
        return maps.transpose(0, 3, 1, 2).reshape(len(maps), *self.graph_shape)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What the hardware runs, how its input is laid out and what its outputs mean."""

    config: Config
    batch: int
    """Images of one run of the program, in all lanes."""
    words: np.ndarray
    """uint32 (words,): program memory."""
    weights: np.ndarray
    """uint32 (rows, words of a row)."""
    table: np.ndarray
    """uint32 (rows, words of a row)."""
    borders: tuple[tuple[int, int, int], ...]
    """(byte address, 32-bit words, byte): what the scratchpad holds before the first run."""
    slots: int
    slot_address: int
    """Of the ring of input slots."""
    slot_bytes: int
    images_per_slot: int
    """In each lane."""
    input_map: tuple[int, int, int]
    """(height, width, channels) of an image in a slot, without its border."""
    input_border: tuple[int, int, int, int]
    input_border_value: int
    input_shape: tuple[int, ...]
    """Shape that the user gives: (C, H, W) or (F,)."""
    input: Quantization
    output: Quantization
    output_shape: tuple[int, ...]
    outputs: tuple[Output, ...]
    """Of one batch, in order."""
    layers: tuple[LayerInfo, ...]
    instruction_layers: tuple[int, ...]
    """For each layer instruction of the program its index in `layers`."""
    scratchpad_used: int
    info: dict[str, str]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def slots_per_batch(self) -> int:
        return self.batch // (self.images_per_slot * self.config.lanes)

    @property
    def slot_words(self) -> int:
        """32-bit words of a slot, in all lanes."""
        return self.slot_bytes // 4 * self.config.lanes

    def pack(self, images: np.ndarray) -> np.ndarray:
        """Words of input slots, uint32 (slots, words), for int8 images that fill batches.

        Image after image goes to lane after lane; the words of all lanes for one address follow
        each other.
        """
        height, width, channels = self.input_map
        if images.shape[1:] == (channels, height, width):
            images = images.transpose(0, 2, 3, 1)
        maps = images.reshape(-1, height, width, channels)
        top, bottom, left, right = self.input_border
        if any(self.input_border):
            edges = ((0, 0), (top, bottom), (left, right), (0, 0))
            maps = np.pad(maps, edges, constant_values=np.int8(self.input_border_value))
        count, lanes = self.images_per_slot, self.config.lanes
        slots = maps.reshape(-1, count, lanes, maps[0].size).swapaxes(1, 2)
        slots = slots.reshape(len(slots), lanes, -1)
        slots = np.pad(slots, ((0, 0), (0, 0), (0, self.slot_bytes - slots.shape[2])))
        words = np.ascontiguousarray(slots).view("<u4")
        return np.ascontiguousarray(words.swapaxes(1, 2)).reshape(len(words), -1)

    def save(self, path: str | Path) -> None:
        """Writes the file as a whole or not at all."""
        fields = {k: v for k, v in asdict(self).items() if k not in ARRAYS}
        buffer = io.BytesIO()
        header = np.frombuffer(json.dumps(fields).encode(), np.uint8)
        np.savez_compressed(buffer, header=header, **{n: getattr(self, n) for n in ARRAYS})
        body = buffer.getvalue()
        path = Path(path)
        write_whole(path, MAGIC + hashlib.sha256(body).digest() + body)

    @staticmethod
    def load(path: str | Path) -> "Program":
        """Reads a file of `save`; LeptonError for one that is not, or not whole."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise LeptonError(f"the program {path} cannot be read: {error.strerror}") from error
        if not content.startswith(MAGIC):
            raise LeptonError(f"{path} is not a Lepton program of this version; compile it again")
        digest, body = content[len(MAGIC) :][:DIGEST], content[len(MAGIC) + DIGEST :]
        if hashlib.sha256(body).digest() != digest:
            raise LeptonError(
                f"the program {path} is damaged: its checksum is wrong; compile it again"
            )
        with np.load(io.BytesIO(body)) as arrays:
            fields = json.loads(arrays["header"].tobytes())
            return _from_fields(fields, {name: arrays[name] for name in ARRAYS})


def _from_fields(fields: dict[str, Any], arrays: dict[str, np.ndarray]) -> Program:
    """The inverse of `asdict`: lists become tuples and records their classes again."""
    try:
        fields["config"] = Config(**fields["config"])
    except (ConfigError, TypeError) as error:
        raise LeptonError(f"the program is for hardware of another version: {error}") from error
    for name in ("input", "output"):
        fields[name] = Quantization(**fields[name])
    fields["outputs"] = tuple(Output(**_tuples(o)) for o in fields["outputs"])
    fields["layers"] = tuple(LayerInfo(**_tuples(layer)) for layer in fields["layers"])
    fields["borders"] = tuple(tuple(b) for b in fields["borders"])
    return Program(**_tuples(fields | arrays))


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that it is either whole or as it was; LeptonError where that fails."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise LeptonError(f"{path} cannot be written: {error.strerror}") from error
