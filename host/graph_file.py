"""An integer network in one file, checked by a digest: what `lepton compress` leaves to run."""

import hashlib
import io
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from host import qgraph
from host.errors import LeptonError
from host.program import DIGEST, write_whole
from host.qgraph import QGraph

MAGIC = b"LEPTON network 1\n"
_KINDS = {
    kind.__name__: kind
    for kind in vars(qgraph).values()
    if isinstance(kind, type) and is_dataclass(kind)
}


def save(graph: QGraph, path: str | Path) -> None:
    """Writes the file as a whole or not at all."""
    write_whole(Path(path), content(graph))


def content(graph: QGraph) -> bytes:
    """What `load` reads."""
    arrays: dict[str, np.ndarray] = {}
    header = json.dumps(_plain(graph, arrays)).encode()
    buffer = io.BytesIO()
    # NumPy's annotations take the names of arrays for its own options.
    np.savez_compressed(buffer, header=np.frombuffer(header, np.uint8), **arrays)  # type: ignore[arg-type]
    body = buffer.getvalue()
    return MAGIC + hashlib.sha256(body).digest() + body


def load(path: str | Path) -> QGraph:
    """Reads a file of `save`; LeptonError for one that is not, or not whole."""
    try:
        found = Path(path).read_bytes()
    except OSError as error:
        raise LeptonError(f"the network {path} cannot be read: {error.strerror}") from error
    if not found.startswith(MAGIC):
        raise LeptonError(f"{path} is not a Lepton network of this version; compress it again")
    digest, body = found[len(MAGIC) :][:DIGEST], found[len(MAGIC) + DIGEST :]
    if hashlib.sha256(body).digest() != digest:
        raise LeptonError(
            f"the network {path} is damaged: its checksum is wrong; compress it again"
        )
    with np.load(io.BytesIO(body)) as arrays:
        return _made(json.loads(arrays["header"].tobytes()), dict(arrays))


def _plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value in JSON's types; its arrays go into ``arrays`` under names that stand for them."""
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if is_dataclass(value):
        inside = {f.name: _plain(getattr(value, f.name), arrays) for f in fields(value)}
        return {"kind": type(value).__name__, "fields": inside}
    if isinstance(value, tuple):
        return [_plain(item, arrays) for item in value]
    if isinstance(value, dict):
        return {"entries": value}
    return value


def _made(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `_plain`."""
    if isinstance(value, list):
        return tuple(_made(item, arrays) for item in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "entries" in value:
        return value["entries"]
    inside = {name: _made(item, arrays) for name, item in value["fields"].items()}
    return _KINDS[value["kind"]](**inside)
