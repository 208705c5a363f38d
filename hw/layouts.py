"""Shapes of everything that crosses a module boundary. No logic here."""

from amaranth import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import isa
from .config import Config

INT8 = signed(8)
WORD = unsigned(32)

LINK = data.StructLayout({"data": 32, "last": 1})
"""A word of a packet; `last` ends the packet."""

LINK_STREAM = stream.Signature(LINK)

INCOMING_STREAM = stream.Signature(data.StructLayout({"data": 32, "last": 1, "cut": 1}))
"""The same on its way in; with `cut`, `last` came before the whole word had."""


def beat(cfg: Config) -> data.StructLayout:
    """What crosses the host link in one transfer."""
    return data.StructLayout({"data": cfg.link_width, "last": 1})


def activations(cfg: Config) -> data.ArrayLayout:
    """One int8 for each row: a slice."""
    return data.ArrayLayout(INT8, cfg.rows)


def weights(cfg: Config) -> data.ArrayLayout:
    """One int8 for each column."""
    return data.ArrayLayout(INT8, cfg.cols)


def products(cfg: Config) -> data.ArrayLayout:
    """One product for each column."""
    return data.ArrayLayout(signed(16), cfg.cols)


def pair_sums(cfg: Config) -> data.ArrayLayout:
    """One sum of two products for each column."""
    return data.ArrayLayout(signed(17), cfg.cols)


def sums(cfg: Config) -> data.ArrayLayout:
    """One partial sum for each column."""
    return data.ArrayLayout(signed(cfg.sum_width), cfg.cols)


def tag(cfg: Config) -> data.StructLayout:
    """Which row of each port's group a word of weights is for."""
    return data.StructLayout({"valid": 1, "row": range(max(2, cfg.load_cycles))})


def accumulate(cfg: Config) -> data.StructLayout:
    """What to do with the sums of one vector, carried beside it."""
    return data.StructLayout(
        {
            "valid": 1,
            "address": range(cfg.acc_depth),
            "first": 1,  # start from zero, not from the accumulator
            "result": 1,  # the sum is complete: pool it
            "window_first": 1,
            "window_last": 1,
            "pool_sum": 1,
        }
    )


def vector(cfg: Config) -> data.StructLayout:
    """One vector on its way to the array: where its slice lies, and what becomes of its sums."""
    return data.StructLayout(
        {
            "address": cfg.address_width,
            "swap": 1,  # take the weights from the shadow
            "emit": 1,  # no vector at all: a word for the host
            "accumulate": accumulate(cfg),
        }
    )


def result(cfg: Config) -> data.StructLayout:
    """Where the bytes of one result go and what requantizes them."""
    return data.StructLayout(
        {
            "target": cfg.address_width,
            "table": range(cfg.table_depth),
            "beats_last": range(max(2, cfg.beats)),
        }
    )


def accumulators(cfg: Config) -> data.ArrayLayout:
    """One accumulator for each column."""
    return data.ArrayLayout(signed(cfg.acc_width), cfg.cols)


def beat_of_results(cfg: Config) -> data.ArrayLayout:
    """One accumulator for each requantizer."""
    return data.ArrayLayout(signed(cfg.acc_width), cfg.requantizers)


def bytes_out(cfg: Config) -> data.StructLayout:
    """Requantized bytes on their way into the scratchpad, from `address` on; `mask` says which, and
    `valid` whether any."""
    return data.StructLayout(
        {
            "address": cfg.address_width,
            "data": data.ArrayLayout(INT8, cfg.requantizers),
            "mask": cfg.requantizers,
            "valid": 1,
        }
    )


def input_words(cfg: Config) -> stream.Signature:
    """Words of input and where they go."""
    return stream.Signature(
        data.StructLayout({"data": 32, "address": cfg.address_width, "lane": lane(cfg)})
    )


def lane(cfg: Config) -> range:
    """The number of a lane."""
    return range(max(2, cfg.lanes))


def words(cfg: Config) -> data.ArrayLayout:
    """One 32-bit word of each lane."""
    return data.ArrayLayout(WORD, cfg.lanes)


def ring(cfg: Config) -> data.StructLayout:
    """Where input slots lie: first byte, words of each, how many."""
    return data.StructLayout(
        {
            "address": cfg.address_width,
            "words": range(cfg.scratchpad_words + 1),
            "slots": range(isa.SLOTS + 1),
        }
    )


class HostBus(wiring.Signature):
    """How the packet decoder reaches a memory: one 32-bit word of one row at a time.

    `row` and `word` hold while `write` or `read` is high; `data` is valid `READ_LATENCY` cycles
    later.
    """

    READ_LATENCY = 3

    def __init__(self, rows: int, words: int) -> None:
        super().__init__(
            {
                "row": Out(range(max(2, rows))),
                "word": Out(range(max(2, words))),
                "write": Out(1),
                "w_data": Out(WORD),
                "r_data": In(WORD),
            }
        )


def host_bus(cfg: Config, space: isa.Space) -> HostBus:
    """The bus of one memory."""
    return HostBus(isa.rows(cfg, space), isa.row_words(cfg, space))
