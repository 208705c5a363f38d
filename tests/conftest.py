"""What holds for all tests: nothing of the machine they run on decides what they see."""

import os
import signal

import pytest

# Two workers on two processors: with more threads each, they only take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")


if os.environ.get("LEPTON_COVERAGE"):
    from tests.campaigns import functional

    functional.watch()


@pytest.fixture(autouse=True)
def no_dataset_of_this_machine(monkeypatch):
    monkeypatch.delenv("LEPTON_DATA", raising=False)


# A shell that starts the tests in the background makes them ignore Ctrl-C, and their children too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
