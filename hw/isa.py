"""Packets and instructions: the one definition that gateware, driver, tests and docs read.

A packet is a header word and its payload, in 32-bit words; the stream marks the last one. A program
is a sequence of instructions of whole words, each starting with its opcode.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from amaranth import signed
from amaranth.lib import data, enum

from .config import Config

MAGIC = 0x4C50544E
"""First word of an ``ID`` reply: "LPTN"."""


class Packet(enum.Enum, shape=8):
    """What the host sends."""

    ID = 1
    """Which hardware is this? No payload."""
    WRITE = 2
    """First row and number of rows of one memory, then the rows."""
    READ = 3
    """First row and number of rows of one memory."""
    RUN = 4
    """Start the program; payload `RUN_WORDS`."""
    INPUT = 5
    """Words of input images, in order; a packet may hold part of one or several."""
    COUNTERS = 6
    """Read the counters. No payload."""
    RESET = 7
    """Stop a run and forget its input and output; memories stay. No payload."""


class Reply(enum.Enum, shape=8):
    """What the core sends."""

    ID = 0x81
    """Magic, version, then every field of the configuration."""
    DATA = 0x83
    """Rows that were read."""
    OUTPUT = 0x85
    """What a layer emits: words of the scratchpad, then the cycle in which the last was read."""
    COUNTERS = 0x86
    """The counters, in the order of `COUNTERS`."""
    RESET = 0x87
    """A reset was carried out."""
    DONE = 0x84
    """The run has ended; no payload."""
    ERROR = 0xFF
    """A packet was refused: its cause and its header; nothing has changed."""


class Space(enum.Enum, shape=8):
    """Memories that ``WRITE`` and ``READ`` reach, in rows of `row_words`."""

    PROGRAM = 0
    WEIGHTS = 1
    TABLE = 2
    SCRATCHPAD = 3
    TRACE = 4


class Cause(enum.Enum, shape=8):
    """Why a packet was refused."""

    OPCODE = 1
    """No packet has this opcode."""
    LENGTH = 2
    """The length does not fit the opcode, or is not a whole number of rows."""
    SPACE = 3
    """There is no such memory, or it cannot be written."""
    RANGE = 4
    """An address, a count or an image lies outside of the memory."""
    BUSY = 5
    """Memories and programs are out of reach during a run."""
    UNEXPECTED = 6
    """Input that no run has asked for."""
    TRUNCATED = 7
    """The packet ended before its length."""
    EXCESS = 8
    """The packet went on behind its length."""
    OVERSIZE = 9
    """The length is more than `packet_words`."""


HEADER = data.StructLayout({"length": 16, "space": 8, "opcode": 8})
"""First word of a packet, both ways: words of payload, memory, opcode."""

SLOTS = 15
"""Most input slots of a ring."""

RUN_WORDS = ("batches", "input_address", "input_words", "input_slots", "input_total")
"""Payload of ``RUN``: how often to run the program (1 or more); where the ring of input slots
starts (bytes, a multiple of 4), the words of a slot in each lane and the number of slots (1 to
15); and how many words of input the whole run takes, for all lanes. Word for word they go to lane
0, lane 1 and so on."""

COUNTERS: tuple[str, ...] = (
    "cycles",
    "fed",
    "stall_weights",
    "stall_input",
    "stall_dependency",
    "stall_post",
    "stall_output",
    "stall_program",
)
"""Cycles of the run; those in which a vector entered the array; and those in which none did because
weights were being loaded, an image had not come, an earlier layer had not been written, too many
results were waiting, an output was being sent, or the next instruction was being read."""


def counters(cfg: Config) -> tuple[str, ...]:
    """Those that this core has: all, or `cycles` alone."""
    return COUNTERS if cfg.stall_counters else COUNTERS[:1]


class Op(enum.Enum, shape=4):
    """First field of an instruction."""

    END = 0
    """The program is over: start again for the next batch, or finish."""
    LAYER = 1
    """Stream a layer, or a group of its output channels, through the array."""


@dataclass(frozen=True)
class Field:
    """One field of an instruction."""

    name: str
    width: int
    text: str
    word: int = 0
    offset: int = 0


def _pack(*wanted: Field) -> tuple[Field, ...]:
    """Places fields in order; one that does not fit the rest of a word starts the next."""
    placed, word, offset = [], 0, 0
    for field in wanted:
        if offset + field.width > 32:
            word, offset = word + 1, 0
        placed.append(Field(field.name, field.width, field.text, word, offset))
        offset += field.width
    return tuple(placed)


ADDRESS = 24
"""Bits of an address or an address step in an instruction; the hardware keeps those it needs."""

LEVELS = ("window_x", "window_y", "x", "y", "tile", "slice", "kernel_y", "block")
"""Loops of a layer from the innermost outwards."""

COUNT_WIDTHS = {"window_x": 2, "window_y": 2, "x": 16, "y": 16, "tile": 16, "slice": 16}
COUNT_WIDTHS |= {"kernel_y": 8, "block": 16}

RESULT_LEVELS = ("x", "y", "tile", "block")
"""Loops that move the destination."""

ALLOW_LEVELS = ("slice", "kernel_y", "block")
"""Loops that move the bound on pending results."""

LAYER = _pack(
    Field("op", 4, "`LAYER`"),
    Field("src_input", 1, "the source lies in the oldest input slot"),
    Field("wait_input", 1, "wait until an input slot is full"),
    Field("release_input", 1, "the oldest input slot is free once the last vector is fed"),
    Field("wait_emit", 1, "wait until no output is being sent (implied by `emit_words`)"),
    Field("pool_sum", 1, "add the accumulators of a window (else: their largest)"),
    Field("pass_min", 8, "shortest pass in cycles, minus one"),
    Field("kernel_y_last", 8, "kernel rows, minus one"),
    Field("window_x_last", 2, "window columns, minus one"),
    Field("window_y_last", 2, "window rows, minus one"),
    Field("x_last", 16, "results in a row, minus one"),
    Field("y_last", 16, "rows of results in a block, minus one"),
    Field("tile_last", 16, "column tiles, minus one"),
    Field("slice_last", 16, "slices of a kernel row, minus one"),
    Field("block_last", 16, "blocks, minus one"),
    Field("table", 16, "first word of the requantization table"),
    Field("source", ADDRESS, "byte address of the first vector"),
    Field("beats_last", 8, "table words of a tile, minus one"),
    Field("step_window_x", ADDRESS, "address step from one vector to the next ..."),
    Field("tail_beats_last", 8, "table words of the last tile, minus one"),
    *(Field(f"step_{n}", ADDRESS, f"... when `{n}` advances") for n in LEVELS[1:]),
    Field("target", ADDRESS, "byte address of the first result"),
    *(Field(f"move_{n}", ADDRESS, f"target step when `{n}` advances") for n in RESULT_LEVELS),
    Field("weights", ADDRESS, "first word of the weights"),
    Field(
        "block_tiles",
        ADDRESS,
        "tiles of weights that a block uses, minus one (the hardware counts passes)",
    ),
    Field("allow", 16, "earlier results that may be pending at the first pass"),
    *(Field(f"allow_{n}", 16, f"added to it when `{n}` advances (signed)") for n in ALLOW_LEVELS),
    Field("emit_source", ADDRESS, "byte address of the words to send, a multiple of 4"),
    Field("emit_words", 16, "words to send once this layer's results are written; 0: none"),
)
"""A layer. Steps are differences between consecutive vectors: the compiler has subtracted what the
inner loops moved, so that the hardware adds one number per vector."""

LAYER_FIELDS = {f.name: f for f in LAYER}
"""The same by name."""

END = _pack(Field("op", 4, "`END`"))

INSTRUCTIONS = {Op.END: END, Op.LAYER: LAYER}
"""Fields of each instruction."""


def length(op: Op) -> int:
    """Words of an instruction."""
    return INSTRUCTIONS[op][-1].word + 1


def layout(fields: tuple[Field, ...]) -> data.FlexibleLayout:
    """The instruction as one wide value, first word lowest."""
    return _placed(fields, {f.name: f.width for f in fields})


def layer_layout(cfg: Config) -> data.FlexibleLayout:
    """`LAYER` in the same places, with the bits of each field that the hardware keeps."""
    return _placed(LAYER, kept(cfg))


def _placed(fields: tuple[Field, ...], widths: dict[str, int]) -> data.FlexibleLayout:
    size = 32 * (fields[-1].word + 1)
    return data.FlexibleLayout(
        size,
        {f.name: data.Field(widths[f.name], 32 * f.word + f.offset) for f in fields
         if f.name in widths},
    )  # fmt: skip


MODULAR = ("step_", "move_")
"""Beginnings of the names of fields that count modulo the scratchpad: any value means something."""


def kept(cfg: Config) -> dict[str, int]:
    """Bits of each field of `LAYER` that the hardware keeps; of one that is not here it keeps none.

    Counts are bounded by the memory that each turn needs a place in: accumulators for positions
    and tiles, weights for passes, the scratchpad for what is read, written and sent. No pass need
    be longer than accumulators must be apart.
    """
    tiles = cfg.weight_depth // cfg.load_cycles
    counts = {
        "x": cfg.acc_depth, "y": cfg.acc_depth, "tile": min(cfg.acc_depth, tiles),
        "slice": min(cfg.scratchpad_bytes, tiles), "kernel_y": min(cfg.scratchpad_bytes, tiles),
        "block": cfg.scratchpad_bytes,
    }  # fmt: skip
    needed = {f"{n}_last": _bits(count - 1) for n, count in counts.items()}
    needed |= dict.fromkeys(("beats_last", "tail_beats_last"), _bits(cfg.beats - 1))
    needed |= {f"step_{n}": cfg.address_width for n in LEVELS}
    needed |= {f"move_{n}": cfg.address_width for n in RESULT_LEVELS}
    needed |= dict.fromkeys(("source", "target", "emit_source"), cfg.address_width)
    needed |= {f"allow_{n}": allow_limit(cfg).bit_length() + 1 for n in ALLOW_LEVELS}
    needed |= {
        "table": _bits(cfg.table_depth - 1), "weights": _bits(cfg.weight_depth - 1),
        "allow": allow_limit(cfg).bit_length(), "emit_words": _bits(cfg.scratchpad_words),
        "pass_min": 2,
    }  # fmt: skip
    return {
        f.name: min(f.width, needed.get(f.name, f.width)) for f in LAYER if f.name != "block_tiles"
    }


def _bits(most: int) -> int:
    """Bits of a field that holds up to that number; none is narrower than one."""
    return max(1, most.bit_length())


def allow_limit(cfg: Config) -> int:
    """A power of two: `allow` and its sums with its steps lie from its negative up to one below it.

    There are never more than `result_depth` results pending, so less would do for a bound that does
    not move; but one that moves goes on where it says no more than "do not wait". A step is the
    difference of two sums and has a bit more, which its field must hold.
    """
    return min(1 << 14, max(512, 16 * cfg.result_depth))


def misfit(cfg: Config, values: Mapping[str, int]) -> str | None:
    """What the hardware would not keep of a layer's fields, with both numbers, if anything."""
    for name, width in kept(cfg).items():
        if name not in values or name.startswith(MODULAR):
            continue
        signed_ = name.startswith("allow")
        low = -(1 << (width - 1)) if signed_ else 0
        most = low + (1 << width) - 1
        if not low <= values[name] <= most:
            return f"{name}={values[name]}, and the hardware keeps {low} to {most}"
    return None


def encode(op: Op, **values: int) -> list[int]:
    """Words of an instruction; ValueError for what does not fit. Only steps may be negative."""
    words = [0] * length(op)
    given = {"op": op.value, **values}
    for field in INSTRUCTIONS[op]:
        value = given.pop(field.name)
        low = -(1 << (field.width - 1)) if field.name.startswith(SIGNED) else 0
        if not low <= value < low + (1 << field.width):
            raise ValueError(f"{op.name} {field.name}={value} does not fit {field.width} bits")
        words[field.word] |= (value & ((1 << field.width) - 1)) << field.offset
    if given:
        raise ValueError(f"{op.name} has no field {', '.join(given)}")
    return words


SIGNED = ("step_", "move_", "allow_")
"""Beginnings of the names of fields that hold two's complement."""


def decode(words: list[int]) -> Iterator[tuple[Op, dict[str, int]]]:
    """Instructions of a program, up to its end. Raises ValueError for an opcode there is not."""
    at = 0
    while at < len(words):
        op = Op(words[at] & 15)
        values = {
            f.name: words[at + f.word] >> f.offset & ((1 << f.width) - 1) for f in INSTRUCTIONS[op]
        }
        for name in values:
            width = next(f.width for f in INSTRUCTIONS[op] if f.name == name)
            if name.startswith(SIGNED) and values[name] >> (width - 1):
                values[name] -= 1 << width
        yield op, values
        at += length(op)


TABLE_WORDS = 3
"""32-bit words of one channel's entry."""


def table_entry(cfg: Config) -> data.FlexibleLayout:
    """What requantizes one output channel; `write` is 0 for a column that has no channel."""
    return data.FlexibleLayout(
        32 * TABLE_WORDS,
        {
            "bias": data.Field(signed(32), 0),
            "multiplier": data.Field(cfg.multiplier_width, 32),
            "shift": data.Field(6, 56),
            "zero_point": data.Field(signed(8), 64),
            "lo": data.Field(signed(8), 72),
            "hi": data.Field(signed(8), 80),
            "write": data.Field(1, 88),
        },
    )


def table_field(cfg: Config, name: str) -> tuple[int, int, int]:
    """Where a field of a table entry lies: its word, its offset in it, and a mask of its width."""
    field = table_entry(cfg)[name]
    return field.offset // 32, field.offset % 32, (1 << field.width) - 1


def row_words(cfg: Config, space: Space) -> int:
    """32-bit words of one row of a memory."""
    return {
        Space.PROGRAM: 1,
        Space.WEIGHTS: cfg.weight_ports * cfg.port_words,
        Space.TABLE: cfg.requantizers * TABLE_WORDS,
        Space.SCRATCHPAD: cfg.lanes,
        Space.TRACE: len(counters(cfg)),
    }[space]


def rows(cfg: Config, space: Space) -> int:
    """Rows of a memory."""
    return {
        Space.PROGRAM: cfg.program_depth,
        Space.WEIGHTS: cfg.weight_depth,
        Space.TABLE: cfg.table_depth,
        Space.SCRATCHPAD: cfg.scratchpad_words,
        Space.TRACE: cfg.trace_depth,
    }[space]
