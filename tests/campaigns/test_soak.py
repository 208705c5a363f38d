"""The soak's own parts: it sends what it says, and it can fail."""

from collections import Counter

import numpy as np
import pytest

from host import packets
from hw.isa import Packet
from tests.campaigns import soak
from tests.e2e.packet_model import CFG


@pytest.mark.parametrize("longest", [1, 7, 255])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_packets_of_the_same_input(seed, longest):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, 500, np.uint32)
    sent = packets.stream(words, longest)
    cut = soak.pieces(sent.words, sent.last, rng)
    parts = np.split(cut.words, np.flatnonzero(cut.last) + 1)[:-1]
    assert sum(map(len, parts)) == len(cut.words)
    for part in parts:
        assert 2 <= len(part) <= longest + 1
        assert part[0] == packets.header(Packet.INPUT, len(part) - 1)
    assert np.concatenate([part[1:] for part in parts]).tolist() == words.tolist()


def test_packets_that_are_no_input_stay_as_they_are():
    sent = packets.packet(Packet.RUN, [1, 2, 3, 4, 5]) + packets.packet(Packet.ID)
    cut = soak.pieces(sent.words, sent.last, np.random.default_rng(1))
    assert cut.words.tolist() == sent.words.tolist()
    assert cut.last.tolist() == sent.last.tolist()


def test_one_wrong_byte_ends_the_soak_with_the_command_that_shows_it_again(monkeypatch):
    monkeypatch.setattr(soak, "random_config", lambda seed: CFG)
    campaign = soak.Soak(seed=1)
    campaign.seed, campaign.number, campaign.counted = 1, 0, Counter()
    monkeypatch.setattr(campaign, "save", lambda: None)
    compared = []
    right = soak.reference

    def wrong(graph, images, *, layers):
        found = right(graph, images, layers=layers)
        compared.append(len(images))
        if len(compared) == 3:
            values = found[list(found)[-1]]
            values.reshape(-1)[-1] ^= 1
        return found

    monkeypatch.setattr(soak, "reference", wrong)
    with pytest.raises(soak.Difference, match=r"campaigns.soak --seed 1 --case \d+$"):
        campaign.core(lambda: False)
    assert len(compared) == 3
