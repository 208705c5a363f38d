"""Random networks under every kind of pause of the link, in the native simulator."""

import pytest

from sim import build
from sim.device import Stall, Stalls
from tests.campaigns import mutant_tests

PAUSES = {
    "input": Stalls(input=Stall(probability=0.5), seed=21),
    "output": Stalls(output=Stall(every=7), seed=22),
    "both": Stalls(input=Stall(probability=0.3), output=Stall(probability=0.6), seed=23),
}


@pytest.mark.parametrize("where", PAUSES)
def test_a_pause_of_either_side_changes_no_byte(where):
    library = build.library(mutant_tests.CFG)
    mutant_tests.check_random_networks(library, (PAUSES[where],))


@pytest.mark.parametrize("where", PAUSES)
def test_a_pause_of_either_side_changes_no_error(where):
    library = build.library(mutant_tests.CFG)
    mutant_tests.check_fuzzer(library, (PAUSES[where],))
