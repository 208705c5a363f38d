"""The systolic array: rows of processing elements and the skew between them."""

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .delay import delayed
from .multiplier import blocks_of_row
from .pe_row import PERow
from .target import multiplier_blocks


def array_ports(cfg: Config) -> dict[str, wiring.Member]:
    """Ports of `Array`, and of the other form, `Tree`."""
    return {
        "a":    In(layouts.activations(cfg)),
        "swap": In(1),
        "tag":  In(layouts.tag(cfg)),
        "w":    In(layouts.weights(cfg)).array(cfg.weight_ports),
        "sums": Out(layouts.sums(cfg)),
    }  # fmt: skip


class Array(wiring.Component):
    """Multiplies slices of activations by a tile of weights.

    Everything enters unskewed: a slice with all its rows in one cycle, a word of weights with all
    columns in one cycle. Inside, row ``r`` works ``r`` cycles and column ``c`` another ``c`` cycles
    later, and weights are late by as much, so that a load that entered before a swap is seen by it
    everywhere, and one that entered with it or after it by the next.

    Column ``c`` of ``sums`` belongs to the slice that entered ``latency(cfg) + c`` cycles before.

    Attributes
    ----------
    a : In
        A slice.
    swap : In
        From this slice on, multiply by the weights loaded since the last swap.
    tag : In
        The row of each port's group that ``w`` is for. A tile is loaded from the highest to row 0.
    w : In, one for each port
        Weights. Port ``p`` feeds the rows from ``p * cfg.load_cycles`` on, and its word must come
        ``p * cfg.load_cycles`` cycles after the tag: whoever reads it from memory delays its
        address, which is far narrower.
    sums : Out
        Sums of products over the rows.
    """

    SWAP_AHEAD = 0
    """Cycles from a swap to its slice."""

    a: data.View
    swap: Signal
    tag: data.View
    w: list[data.View]
    sums: data.View

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__(array_ports(cfg))

    @staticmethod
    def latency(cfg: Config) -> int:
        """Cycles from a slice to the sum of column 0."""
        return cfg.rows - 1 + PERow.latency(cfg)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        rows = []
        slice_, swap, tag = self.a, self.swap, self.tag
        blocks = multiplier_blocks(platform, cfg.requantizers, cfg.lanes)
        per_row = blocks_of_row(cfg, platform)
        for r in range(cfg.rows):
            m.submodules[f"row_{r}"] = row = PERow(cfg, blocks=(r + 1) * per_row <= blocks)
            rows.append(row)
            port, row_in_port = divmod(r, cfg.load_cycles)
            above = (
                skew_columns(m, self.w[port], f"w_{port}") if row_in_port == 0 else rows[r - 1].w_o
            )
            m.d.comb += [
                row.a.eq(slice_[0]),
                row.swap.eq(swap),
                row.load.eq(tag.valid & (tag.row >= row_in_port)),
                row.w_i.eq(above),
            ]
            if r > 0:
                m.d.comb += row.p_i.eq(rows[r - 1].p_o)
            if r < cfg.rows - 1:
                # The rows below see what is left of the slice one cycle later.
                rest = Signal(
                    data.ArrayLayout(layouts.INT8, cfg.rows - r - 1), name=f"a_{r}", reset_less=True
                )
                m.d.sync += rest.eq(slice_.as_value()[8:])
                slice_ = rest
                swap = delayed(m, f"swap_{r}", swap, 1)
                tag = delayed(m, f"tag_{r}", tag, 1)
        m.d.comb += self.sums.eq(rows[-1].p_o)
        return m


def skew_columns(m: Module, w: data.View, name: str):
    """Delays column ``c`` by ``c`` cycles."""
    cols = w.shape().length
    skewed = Signal(w.shape(), name=f"{name}_skewed")
    m.d.comb += skewed[0].eq(w[0])
    for c in range(1, cols):
        delay = Signal(8 * c, name=f"{name}_{c}", reset_less=True)
        m.d.sync += delay.eq((delay << 8) | w[c].as_unsigned())
        m.d.comb += skewed[c].eq(delay[8 * (c - 1) :])
    return skewed
