"""Sites of the multiplier blocks of several lanes."""

import re

import pytest

from host.synth.devices import DEVICES, device
from host.synth.multiplier_sites import assign, place
from host.synth.near_constants import bring
from tests.host.synth_tools import given


def block(lane, row, col):
    return f"core.runner.lanes.lane_{lane}.array.row_{row}.multipliers.block_{col}"


def netlist(lanes, rows, cols, *others, kind="MULT18X18D"):
    names = [block(*at) for at in _places(lanes, rows, cols)]
    return {"cells": {name: {"type": kind, "connections": {}} for name in (*names, *others)}}


def _places(lanes, rows, cols):
    # Yosys writes cells in no order that means anything.
    return [(i, r, c) for c in reversed(range(cols)) for r in range(rows) for i in range(lanes)]


def sites(*lengths):
    return tuple(tuple(f"y{y}x{x:02}" for x in range(n)) for y, n in enumerate(lengths))


def in_order(made, row):
    """What stands on a row of sites, from left to right."""
    found = sorted((site, name) for name, site in given(made).items() if site.startswith(row))
    return [tuple(map(int, re.findall(r"_(\d+)", name))) for _, name in found]


def test_each_lane_has_a_row_and_each_column_stands_together_from_its_first_row_on():
    made = netlist(3, 4, 2)
    assert assign(made, sites(10, 10, 10)) == 24
    for lane in range(3):
        expected = [(lane, row, col) for col in range(2) for row in range(4)]
        assert in_order(made, f"y{lane}") == expected


def test_rows_of_ten_and_more_are_in_the_order_of_their_numbers():
    made = netlist(2, 12, 1)
    assign(made, sites(12, 12))
    assert [row for _, row, _ in in_order(made, "y0")] == list(range(12))


def test_what_is_over_of_each_row_is_at_its_end():
    made = netlist(2, 3, 1)
    assign(made, sites(9, 9))
    assert sorted(given(made).values()) == [f"y{y}x{x:02}" for y in (0, 1) for x in (0, 1, 2)]


def test_lanes_that_take_more_rows_than_one_turn_at_their_ends():
    made = netlist(2, 2, 3)
    assert assign(made, sites(4, 4, 4)) == 12
    columns = [[at[::2] for at in in_order(made, f"y{y}")[::2]] for y in range(3)]
    assert columns == [[(0, 0), (0, 1)], [(1, 0), (0, 2)], [(1, 1), (1, 2)]]
    # The order within a column is that of its rows, whichever way the columns go.
    assert [row for _, row, _ in in_order(made, "y1")] == [0, 1, 0, 1]


def test_no_block_gets_a_site_if_a_row_has_too_few():
    made = netlist(2, 4, 2)
    assert assign(made, sites(8, 7)) == 0
    assert not given(made)


@pytest.mark.parametrize(
    "made",
    [
        netlist(1, 4, 2),
        netlist(3, 4, 2, kind="LUT4"),
        {"cells": {"core.runner.post.requant_0_0.low.block": {"type": "MULT18X18D"}}},
    ],
    ids=["one lane", "no blocks", "no array"],
)
def test_the_placer_is_left_what_is_not_of_several_lanes(made):
    assert assign(made, sites(20, 20, 20)) == 0
    assert not given(made)


def test_the_product_of_a_requantizer_gets_no_site_beside_arrays_that_do():
    other = "core.runner.post.requant_0_0.low.block"
    made = netlist(2, 2, 2, other)
    assert assign(made, sites(5, 5)) == 8
    assert other not in given(made)
    assert place(other) is None


def test_a_part_whose_sites_are_not_known_leaves_all_to_the_placer():
    made = netlist(2, 2, 2)
    assert assign(made, ()) == 0
    assert not given(made)


def test_a_column_with_sites_has_its_own_zero_and_one():
    made = netlist(2, 2, 2)
    made["netnames"] = {}
    for cell in made["cells"].values():
        cell["connections"] = {"RST0": ["0"], "SIGNEDA": ["1"], "P0": [5]}
    assign(made, sites(4, 4))
    assert bring(made) == 2 * 2 * 2
    drivers = {
        pin: {
            at: made["cells"][block(*at)]["connections"][pin][0] for at in sorted(_places(2, 2, 2))
        }
        for pin in ("RST0", "SIGNEDA")
    }
    for nets in drivers.values():
        for lane in range(2):
            for col in range(2):
                assert nets[lane, 0, col] == nets[lane, 1, col]
        assert len(set(nets.values())) == 4


@pytest.mark.parametrize("name", [name for name, part in DEVICES.items() if part.family == "ecp5"])
def test_a_part_names_the_site_of_each_block_once(name):
    part = device(name)
    names = [site for row in part.multiplier_rows for site in row]
    assert len(names) == len(set(names)) == part.target.multipliers
    for row in part.multiplier_rows:
        places = [
            (int(x), int(y)) for x, y in re.findall(r"X(\d+)/Y(\d+)/MULT18_[0145]", " ".join(row))
        ]
        assert len(places) == len(row)
        assert places == sorted(places), "from left to right"
        assert len({y for _, y in places}) == 1
