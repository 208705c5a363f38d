"""tests/campaigns/hand_*.py: the core passes what mutants have to."""

from pathlib import Path

import pytest

from sim import build
from tests.campaigns import (
    hand_addresses,
    hand_counts,
    hand_packets,
    hand_programs,
    hand_roundings,
)  # fmt: skip

CHECKS = (
    hand_programs.check_every_bit, hand_programs.check_input_totals, hand_programs.check_rings,
    hand_programs.check_tables, hand_counts.check_random_layers, hand_counts.check_long_layers,
    hand_counts.check_many_batches, hand_packets.check_some_bits, hand_packets.check_many_resets,
    hand_packets.check_answers_between_outputs, hand_packets.check_emits,
    hand_addresses.check_addresses, hand_roundings.check_roundings,
)  # fmt: skip


@pytest.fixture(scope="module")
def library() -> Path:
    return build.library(hand_programs.CFG)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_core_does_and_counts_what_a_program_by_hand_says(check, library):
    check(library)
