"""The state of a training on disk: a stopped one goes on behind its last whole epoch."""

import io
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from host.errors import LeptonError
from host.program import write_whole


class Checkpoint:
    """One state in one file, of tensors and plain values; whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None if nothing was. LeptonError for a file that is damaged."""
        try:
            return torch.load(self.path, weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, EOFError, RuntimeError, UnpicklingError, zipfile.BadZipFile) as error:
            raise LeptonError(f"{self.path} is damaged; remove it to do this step again") from error

    def save(self, state: dict[str, Any]) -> None:
        """In place of what was saved before."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.path, buffer.getvalue())
