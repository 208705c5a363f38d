"""A cache of things that take long to make, named by a hash of all that decides them.

Of several processes one makes an entry and the others wait. What an interrupted or failed run
leaves is never taken for a result, and an entry that was damaged since is made again. Entries that
nobody has used for longest are removed when there are more than `limit_bytes`.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import CacheError, SimulationError

CHECKSUMS = "checksums.json"
"""In each entry: its files and their hashes. Its time is that of the last use."""

LIMIT_MB = 4096
"""Size of the cache, unless LEPTON_CACHE_MB says another."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors that say there is no space."""

KEEP_S = 3600.0
"""What was used so recently stays: whoever asked for it may still be about to open it."""


def cache_folder() -> Path:
    """Where everything made is kept: LEPTON_CACHE, else ~/.cache/lepton."""
    chosen = os.environ.get("LEPTON_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "lepton"


def limit_bytes() -> int:
    """Size beyond which old entries are removed. SimulationError if LEPTON_CACHE_MB is no size."""
    chosen = os.environ.get("LEPTON_CACHE_MB", str(LIMIT_MB))
    if not chosen.isdecimal():
        raise SimulationError(f"LEPTON_CACHE_MB={chosen!r} is not a whole number of megabytes")
    return int(chosen) << 20


def digest(*parts: str | bytes) -> str:
    """A name for what these texts decide."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}\n".encode())
        total.update(data)
    return total.hexdigest()[:32]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of that key, filled by `make` unless an intact one is there.

    `make` gets an empty folder, which is renamed when it is done. CacheError where the cache cannot
    be written.
    """
    parent = cache_folder() / kind
    folder = parent / key
    if _intact(folder):
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _full() if e.errno in FULL else _unwritable() from e
    try:
        with _locked(_lock(folder)):
            if _intact(folder):
                return folder
            for old in [folder, *parent.glob(f"{key}.*.tmp")]:
                shutil.rmtree(old, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".tmp", dir=parent))
            try:
                make(temporary)
                sums = {path.name: digest(path.read_bytes()) for path in temporary.iterdir()}
                (temporary / CHECKSUMS).write_text(json.dumps(sums))
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as e:
        if e.errno in FULL:
            raise _full() from e
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise _unwritable() from e
        raise
    prune()
    return folder


def _full() -> CacheError:
    return CacheError(
        f"no space is left in the cache folder {cache_folder()}; "
        "free some, or set LEPTON_CACHE to another folder"
    )


def _unwritable() -> CacheError:
    return CacheError(
        f"the cache folder {cache_folder()} cannot be written; set LEPTON_CACHE to another folder"
    )


def prune(limit: int | None = None) -> None:
    """Removes what was not used for longest until the rest is within the limit.

    So is what a killed process left and nobody makes again. Other processes may use the cache
    meanwhile: what they have, they keep.
    """
    limit = limit_bytes() if limit is None else limit
    for left in cache_folder().glob("*/*.tmp"):
        _remove_unfinished(left)
    entries = []
    for path in (found.parent for found in cache_folder().glob(f"*/*/{CHECKSUMS}")):
        with suppress(OSError):  # somebody else removes it
            size = sum(file.stat().st_size for file in path.iterdir())
            entries.append((_last_use(path), path, size))
    total = sum(size for _, _, size in entries)
    for use, path, size in sorted(entries):
        if total <= limit or use > time.time() - KEEP_S:
            break
        if _remove(path, use):
            total -= size


def _remove(folder: Path, use: float) -> bool:
    """Removes an entry unless somebody makes it or has used it since."""
    with suppress(OSError), _locked(_lock(folder), wait=False):
        away = folder.with_name(f"{folder.name}.old.tmp")
        folder.rename(away)
        if _last_use(away) != use:
            # Somebody looked at it between the two looks of ours, and has its path.
            away.rename(folder)
            return False
        shutil.rmtree(away, ignore_errors=True)
        return True
    return False


def _remove_unfinished(folder: Path) -> None:
    """Removes what somebody began and does not make any more."""
    with suppress(OSError):
        if folder.stat().st_mtime > time.time() - KEEP_S:
            return
        key = folder.name.partition(".")[0]
        with _locked(_lock(folder.with_name(key)), wait=False):
            shutil.rmtree(folder, ignore_errors=True)


def _intact(folder: Path) -> bool:
    """Whether an entry is whole. It then counts as used."""
    try:
        with suppress(PermissionError):
            os.utime(folder / CHECKSUMS)
        sums = json.loads((folder / CHECKSUMS).read_text())
        return all(digest((folder / name).read_bytes()) == sums[name] for name in sums)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _last_use(folder: Path) -> float:
    return (folder / CHECKSUMS).stat().st_mtime


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    # The kernel lets go of it when the process ends, however it ends, and those that inherited it:
    # a compiler outlives whoever started it, and still writes into the folder.
    with path.open("w") as file:
        os.set_inheritable(file.fileno(), True)
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
