"""hw/config.py"""

import dataclasses

import pytest

from hw.config import LIMITS, LINK_WIDTHS, NAMED, Config, named
from hw.errors import ConfigError

FIELDS = [f.name for f in dataclasses.fields(Config)]


def refused(message, **fields):
    with pytest.raises(ConfigError) as caught:
        Config(**fields)
    assert str(caught.value) == message


def test_every_field_has_limits():
    assert set(FIELDS) == set(LIMITS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_out_of_its_limits_is_refused_with_them(name):
    low, high = LIMITS[name]
    for value in (low - 1, high + 1, -1, None, "4", 4.0, True):
        refused(f"{name}={value!r} is not an integer from {low} to {high}", **{name: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 3, "weight_ports": 4}, "weight_ports=4 is more than the 3 rows to be loaded"),
        ({"cols": 2, "requantizers": 3}, "requantizers=3 is more than the 2 columns to serve"),
        (
            {"rows": 5, "cols": 16, "requantizers": 9},
            "requantizers=9 is more than the 8 bytes that the scratchpad of 5 rows "
            "writes per cycle",
        ),
        (
            {"rows": 1, "cols": 16, "requantizers": 5},
            "requantizers=5 is more than the 4 bytes that the scratchpad of 1 rows "
            "writes per cycle",
        ),
        ({"link_width": 24}, "link_width=24 is none of (8, 16, 32, 64)"),
        (
            {"rows": 3, "acc_width": 16},
            "acc_width=16 does not hold the sum of 3 products; needs 17",
        ),
        (
            {"rows": 128, "acc_width": 22},
            "acc_width=22 does not hold the sum of 128 products; needs 23",
        ),
        ({"scratchpad_bytes": 1000}, "scratchpad_bytes=1000 is not a power of two"),
        ({"result_depth": 6}, "result_depth=6 is not a power of two"),
        (
            {"rows": 17, "scratchpad_bytes": 64},
            "scratchpad_bytes=64 is too small for 17 rows; needs 128",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)  # fmt: skip
def test_fields_at_odds_are_refused_with_both_numbers(fields, message):
    refused(message, **fields)


@pytest.mark.parametrize("rows", range(1, 129))
def test_the_width_of_a_sum_is_the_smallest_that_holds_the_largest_sum(rows):
    width = Config(rows=rows).sum_width
    # -128 * -128 in every row; the smallest sum, with -128 * 127, is nearer to 0.
    assert rows * 128 * 128 <= (1 << (width - 1)) - 1
    assert rows * 128 * 128 > (1 << (width - 2)) - 1


@pytest.mark.parametrize(
    ("rows", "ports", "load_cycles"), [(1, 1, 1), (7, 4, 2), (15, 1, 15), (15, 4, 4), (16, 16, 1)]
)
def test_load_cycles_round_up(rows, ports, load_cycles):
    assert Config(rows=rows, weight_ports=ports).load_cycles == load_cycles


@pytest.mark.parametrize(
    ("cols", "requantizers", "beats", "port_words"),
    [(1, 1, 1, 1), (4, 3, 2, 1), (5, 5, 1, 2), (6, 1, 6, 2)],
)
def test_beats_and_port_words_round_up(cols, requantizers, beats, port_words):
    cfg = Config(cols=cols, requantizers=requantizers)
    assert (cfg.beats, cfg.port_words) == (beats, port_words)


@pytest.mark.parametrize(
    ("rows", "bank"), [(1, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16), (17, 32), (128, 128)]
)
def test_a_slice_spans_at_most_two_banks(rows, bank):
    assert Config(rows=rows).bank_bytes == bank
    assert bank >= rows


@pytest.mark.parametrize("size", [64, 1024, 1 << 20])
def test_addresses_are_just_wide_enough(size):
    cfg = Config(rows=1, scratchpad_bytes=size)
    assert 1 << cfg.address_width == size
    assert cfg.scratchpad_words == size // 4


def test_words_are_all_fields_in_order():
    cfg = NAMED["wide"]
    assert cfg.words() == tuple(getattr(cfg, name) for name in FIELDS)
    assert dict(cfg.items()) == dataclasses.asdict(cfg)


def test_changed_fields_make_a_copy_and_an_unknown_one_is_refused():
    cfg = Config()
    assert cfg.with_fields({"rows": 4}) == Config(rows=4)
    assert cfg == Config()
    with pytest.raises(ConfigError, match=rf"no field 'row'; it has rows, cols, .*{FIELDS[-1]}$"):
        cfg.with_fields({"row": 4})


def test_named_configurations_are_found_and_an_unknown_one_is_refused():
    assert named("default") == Config()
    with pytest.raises(
        ConfigError, match=rf"^no configuration is named 'huge'; there are {', '.join(NAMED)}$"
    ):
        named("huge")


def test_every_link_width_is_within_the_limits():
    assert [Config(link_width=width).link_width for width in LINK_WIDTHS] == [8, 16, 32, 64]
