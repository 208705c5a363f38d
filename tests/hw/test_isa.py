"""hw/isa.py"""

import numpy as np
import pytest

from hw import isa
from hw.config import NAMED, Config
from hw.isa import Op, Space

FIELDS = {f.name: f for f in isa.LAYER}


def is_signed(field):
    return field.name.startswith(("step_", "move_", "allow_"))


def limits(field):
    """The values that come back from `decode`."""
    if is_signed(field):
        return -(1 << (field.width - 1)), (1 << (field.width - 1)) - 1
    return 0, (1 << field.width) - 1


def zeros():
    return {f.name: 0 for f in isa.LAYER if f.name != "op"}


def decoded(words):
    return [(op, dict(values)) for op, values in isa.decode(words)]


@pytest.mark.parametrize("seed", range(5))
def test_random_layers_come_back(seed):
    rng = np.random.default_rng(seed)
    layers = [
        {n: int(rng.integers(limits(FIELDS[n])[0], limits(FIELDS[n])[1] + 1)) for n in zeros()}
        for _ in range(10)
    ]
    words = [w for values in layers for w in isa.encode(Op.LAYER, **values)] + isa.encode(Op.END)
    wanted = [(Op.LAYER, {"op": 1, **values}) for values in layers] + [(Op.END, {"op": 0})]
    assert decoded(words) == wanted


@pytest.mark.parametrize("name", [f.name for f in isa.LAYER if f.name != "op"])
def test_every_field_holds_its_limits_refuses_what_is_beyond_and_touches_no_other(name):
    field = FIELDS[name]
    low, high = limits(field)
    for value in (low, high):
        (layer,) = decoded(isa.encode(Op.LAYER, **{**zeros(), name: value}))
        assert layer[1] == {"op": 1, **zeros(), name: value}
    for value in (low - 1, 1 << field.width):
        with pytest.raises(
            ValueError, match=rf"^LAYER {name}={value} does not fit {field.width} bits$"
        ):
            isa.encode(Op.LAYER, **{**zeros(), name: value})


def test_a_layer_wants_every_field_and_no_other():
    with pytest.raises(KeyError):
        isa.encode(Op.LAYER, **{n: 0 for n in zeros() if n != "target"})
    with pytest.raises(ValueError, match=r"^LAYER has no field colour$"):
        isa.encode(Op.LAYER, **zeros(), colour=3)


@pytest.mark.parametrize("opcode", range(2, 16))
def test_an_opcode_that_there_is_not_is_refused(opcode):
    with pytest.raises(ValueError, match=str(opcode)):
        decoded([*isa.encode(Op.END), opcode])


def test_fields_do_not_overlap_and_stay_within_their_word():
    taken = set()
    for field in isa.LAYER:
        assert field.offset + field.width <= 32, field.name
        bits = {(field.word, field.offset + i) for i in range(field.width)}
        assert not bits & taken, field.name
        taken |= bits
    assert isa.length(Op.LAYER) == max(word for word, _ in taken) + 1


def test_the_layout_of_the_hardware_is_that_of_the_words():
    rng = np.random.default_rng(seed=1)
    words = rng.integers(0, 1 << 32, isa.length(Op.LAYER)).tolist()
    words[0] = words[0] & ~15 | Op.LAYER.value
    value = isa.layout(isa.LAYER).from_bits(sum(w << 32 * i for i, w in enumerate(words)))
    ((_, fields),) = decoded(words)
    for field in isa.LAYER:
        assert value[field.name] == fields[field.name] & ((1 << field.width) - 1), field.name


def test_a_loop_for_every_step_and_count():
    for level in isa.LEVELS:
        assert {f"{level}_last"} <= set(FIELDS)
    steps = {f"step_{n}" for n in isa.LEVELS}
    moves = {f"move_{n}" for n in isa.RESULT_LEVELS}
    assert steps | moves | {f"allow_{n}" for n in isa.ALLOW_LEVELS} == {
        f.name for f in isa.LAYER if is_signed(f)
    }


@pytest.mark.parametrize("cfg", [Config(), Config(rows=7, cols=9, weight_ports=4, requantizers=3)])
def test_rows_of_memories_are_whole_words(cfg):
    assert isa.row_words(cfg, Space.PROGRAM) == isa.row_words(cfg, Space.SCRATCHPAD) == 1
    assert isa.row_words(cfg, Space.WEIGHTS) == cfg.weight_ports * -(-cfg.cols // 4)
    assert isa.row_words(cfg, Space.TABLE) == 3 * cfg.requantizers
    assert isa.row_words(cfg, Space.TRACE) == 8
    assert [isa.rows(cfg, s) for s in Space] == [2048, 16384, 512, 8192, 64]


def test_codes_are_distinct_and_never_change():
    """Drivers of older versions must not misunderstand: change VERSION along with these."""
    assert {p.name: p.value for p in isa.Packet} == {
        "ID": 1, "WRITE": 2, "READ": 3, "RUN": 4, "INPUT": 5, "COUNTERS": 6, "RESET": 7,
    }  # fmt: skip
    assert {r.name: r.value for r in isa.Reply} == {
        "ID": 0x81, "DATA": 0x83, "DONE": 0x84, "OUTPUT": 0x85, "COUNTERS": 0x86, "RESET": 0x87,
        "ERROR": 0xFF,
    }  # fmt: skip
    assert [s.name for s in Space] == ["PROGRAM", "WEIGHTS", "TABLE", "SCRATCHPAD", "TRACE"]
    assert [c.value for c in isa.Cause] == list(range(1, 10))


@pytest.mark.parametrize("name", NAMED)
def test_what_the_hardware_keeps_of_a_field_is_what_it_does_not_refuse(name):
    cfg = NAMED[name]
    for field, width in isa.kept(cfg).items():
        low, most = 0, (1 << width) - 1
        if field.startswith("allow"):
            low, most = -(1 << (width - 1)), (1 << (width - 1)) - 1
        for value in (low, most):
            assert isa.misfit(cfg, {field: value}) is None
        if not field.startswith(isa.MODULAR):
            for value in (low - 1, most + 1):
                assert isa.misfit(cfg, {field: value}) == (
                    f"{field}={value}, and the hardware keeps {low} to {most}"
                )


def test_a_count_has_a_bit_for_each_turn_that_the_memories_have_room_for():
    cfg = Config(
        rows=3, cols=2, acc_depth=33, weight_depth=64, weight_ports=2, scratchpad_bytes=64,
        table_depth=16, requantizers=1, result_depth=64,
    )  # fmt: skip
    widths = isa.kept(cfg)
    assert [widths[n] for n in ("x_last", "y_last", "tile_last")] == [6, 6, 5]
    assert [widths[n] for n in ("slice_last", "kernel_y_last", "block_last")] == [5, 5, 6]
    assert [widths[n] for n in ("table", "weights", "source", "step_block")] == [4, 6, 6, 6]
    # 16 words of scratchpad may be sent; 1024 either way; the difference of two such numbers.
    assert [widths[n] for n in ("emit_words", "allow", "allow_slice")] == [5, 11, 12]


def test_the_layout_of_the_hardware_has_the_fields_where_the_program_has_them():
    cfg, values = Config(), {**zeros(), "tile_last": 77, "source": 4099, "move_y": 5, "allow": 9}
    (_, decoded_layer), *_ = decoded(isa.encode(Op.LAYER, **values))
    bits = sum(w << 32 * i for i, w in enumerate(isa.encode(Op.LAYER, **values)))
    view = isa.layer_layout(cfg).from_bits(bits)
    for name in isa.kept(cfg):
        assert view[name] == decoded_layer[name], name
