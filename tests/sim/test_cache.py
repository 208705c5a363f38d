"""sim/cache.py: whatever happens to an entry or to its maker, what is handed out is whole."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sim import cache
from sim.errors import SimulationError

ROOT = Path(cache.__file__).parents[1]

CONTENT = {"lepton.so": bytes(range(100)), "notes.txt": b"a few words\n"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes an entry and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        for name, content in CONTENT.items():
            (folder / name).write_bytes(content)


def content(entry):
    return {p.name: p.read_bytes() for p in entry.iterdir() if p.name != cache.CHECKSUMS}


def unfinished(folder):
    return [path.name for path in folder.glob("*/*.tmp")]


def test_an_entry_is_made_once():
    maker = Maker()
    first, second = (cache.cached("kind", "key", maker) for _ in range(2))
    assert first == second
    assert content(first) == CONTENT
    assert maker.calls == 1


@pytest.mark.parametrize("name", [*CONTENT, cache.CHECKSUMS])
def test_an_entry_with_any_byte_changed_is_made_again(name):
    maker = Maker()
    entry = cache.cached("kind", "key", maker)
    whole = (entry / name).read_bytes()
    rng = np.random.default_rng(seed=1)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(0, 8))
        (entry / name).write_bytes(damaged)
        before = maker.calls
        assert content(cache.cached("kind", "key", maker)) == CONTENT, position
        # A checksum in other words may still say the same, but the bytes it names must not differ.
        assert maker.calls == before + 1 or name == cache.CHECKSUMS, position
        (entry / name).write_bytes(whole)


@pytest.mark.parametrize("name", [*CONTENT, cache.CHECKSUMS])
@pytest.mark.parametrize("size", [None, 0, 5], ids=["missing", "empty", "cut"])
def test_an_entry_of_which_something_is_missing_is_made_again(name, size):
    maker = Maker()
    entry = cache.cached("kind", "key", maker)
    if size is None:
        (entry / name).unlink()
    else:
        os.truncate(entry / name, size)
    assert content(cache.cached("kind", "key", maker)) == CONTENT
    assert maker.calls == 2


def test_an_entry_whose_maker_fails_is_none_and_the_next_try_works(folder):
    def failing(path: Path) -> None:
        (path / "lepton.so").write_bytes(b"half")
        raise SimulationError("no")

    with pytest.raises(SimulationError, match="no"):
        cache.cached("kind", "key", failing)
    assert unfinished(folder) == []
    assert content(cache.cached("kind", "key", Maker())) == CONTENT


SLOW = """
import sys, time
from pathlib import Path
from sim import cache

def make(folder):
    (folder / "half").write_bytes(b"half")
    print("making", flush=True)
    time.sleep(float(sys.argv[1]))
    (folder / "lepton.so").write_bytes(b"whole")

print(cache.cached("kind", "key", make), flush=True)
"""


def other_process(seconds):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(seconds)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_of_two_processes_one_makes_the_entry_and_the_other_waits():
    processes = [other_process(1) for _ in range(2)]
    outputs = [p.communicate()[0].splitlines() for p in processes]
    assert [p.returncode for p in processes] == [0, 0]
    assert sorted(map(len, outputs)) == [1, 2], "one of them made it"
    assert outputs[0][-1] == outputs[1][-1]


@pytest.mark.parametrize(
    "by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name
)
def test_whoever_waits_for_a_process_that_is_killed_makes_the_entry_itself(folder, by):
    killed = other_process(60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "making\n"
    waiting = other_process(0)
    time.sleep(0.2)
    assert waiting.poll() is None
    killed.send_signal(by)
    killed.communicate()
    output, _ = waiting.communicate(timeout=30)
    entry = Path(output.splitlines()[-1])
    assert content(entry) == {"half": b"half", "lepton.so": b"whole"}
    assert unfinished(folder) == []


COMPILES = """
import sys
from sim import cache
from sim.commands import run

def make(folder):
    run([["sh", "-c", f"touch {sys.argv[1]}/began; sleep 2; touch {sys.argv[1]}/ended"]])

cache.cached("kind", "key", make)
"""


def test_a_compiler_that_outlives_its_killed_process_is_waited_for(folder, tmp_path):
    began, ended = tmp_path / "began", tmp_path / "ended"
    killed = subprocess.Popen([sys.executable, "-c", COMPILES, str(tmp_path)], cwd=ROOT)
    while not began.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not ended.exists()
    assert content(cache.cached("kind", "key", Maker())) == CONTENT
    # Until then it could write into a folder that is being removed, of which a part then stays.
    assert ended.exists()
    assert unfinished(folder) == []


def test_what_a_killed_process_left_is_removed_when_it_is_old(folder):
    killed = other_process(60)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "making\n"
    (left,) = unfinished(folder)
    old = time.time() - cache.KEEP_S - 100
    os.utime(folder / "kind" / left, (old, old))
    cache.cached("kind", "other", Maker())
    assert unfinished(folder) == [left], "it is still made"
    killed.kill()
    killed.communicate()
    cache.prune()
    assert unfinished(folder) == []


FULL = """
import resource, sys
from pathlib import Path
from sim import cache
from sim.errors import SimulationError

def make(folder):
    (folder / "lepton.so").write_bytes(bytes(100_000))

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    cache.cached("kind", "key", make)
except SimulationError as error:
    print(error)
"""


def test_a_file_that_does_not_fit_is_named_and_the_next_run_works(folder):
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"no space is left in the cache folder {folder}; free some")
    assert done.stderr == ""
    assert unfinished(folder) == []
    assert content(cache.cached("kind", "key", Maker())) == CONTENT


def test_old_entries_go_first_and_recent_ones_stay(folder):
    entries = [cache.cached("kind", f"key{i}", Maker()) for i in range(4)]
    size = sum(p.stat().st_size for p in entries[0].iterdir())
    for age, entry in enumerate(entries):
        used = time.time() - cache.KEEP_S - 100 * (4 - age)
        os.utime(entry / cache.CHECKSUMS, (used, used))
    cache.cached("kind", "key0", Maker())  # used just now, though it was the oldest
    cache.prune(limit=2 * size)
    assert [entry.exists() for entry in entries] == [True, False, False, True]
    # What was used within the hour stays even beyond the limit.
    cache.prune(limit=0)
    assert [entry.exists() for entry in entries] == [True, False, False, False]
    assert unfinished(folder) == []


@pytest.mark.parametrize("value", ["-1", "4 GB", "0x10", "1.5"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, value):
    monkeypatch.setenv("LEPTON_CACHE_MB", value)
    with pytest.raises(SimulationError, match="is not a whole number of megabytes"):
        cache.limit_bytes()
