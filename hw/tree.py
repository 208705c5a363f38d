"""The array as an adder tree: all rows and columns in the same cycle."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring

from . import layouts
from .array import array_ports
from .config import Config
from .multiplier import blocks_of_row
from .pairs import PairProducts
from .target import multiplier_blocks


class Tree(wiring.Component):
    """Multiplies slices of activations by a tile of weights, as `Array` does and with its ports.

    Nothing is skewed: no row, no column, no port waits for another. So it has none of the registers
    that delay slices, weights and orders, and sums come after few cycles; but a tree of many rows
    has long wires, and its sums are not as fast.

    Columns of ``sums`` belong to the slice that entered ``latency(cfg)`` cycles before.

    Attributes
    ----------
    a : In
        A slice.
    swap : In
        From the slice of the next cycle on, multiply by the weights loaded since the last swap; the
        last of them may come in this cycle.
    tag : In
        The row of each port's group that ``w`` is for. A tile is loaded from the highest to row 0.
    w : In, one for each port
        Weights. Port ``p`` feeds the rows from ``p * cfg.load_cycles`` on, all in the tag's cycle.
        The word for row 0 stays there until the next load begins, which is in the cycle behind the
        swap at the earliest: it waits where it was read.
    sums : Out
        Sums of products over the rows.
    """

    SWAP_AHEAD = 1
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
        """Cycles from a slice to its sums."""
        pairs = -(-cfg.rows // 2)
        return PairProducts.latency(cfg) + (pairs - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        weights = self._shadow(m)
        blocks = multiplier_blocks(platform, cfg.requantizers, cfg.lanes)
        per_row = blocks_of_row(cfg, platform)
        pairs = []
        for r in range(0, cfg.rows, 2):
            stop = min(r + 2, cfg.rows)
            m.submodules[f"pair_{r}"] = pair = PairProducts(
                cfg, rows=stop - r, blocks=stop * per_row <= blocks
            )
            m.d.comb += [
                pair.a.eq(self.a.as_value()[8 * r : 8 * stop]),
                pair.swap.eq(self.swap),
                pair.w.eq(Cat(weights[r:stop])),
            ]
            pairs.append(pair)
        for c in range(cfg.cols):
            m.d.comb += self.sums[c].eq(_sum(m, f"sum_{c}", [pair.sums[c] for pair in pairs]))
        return m

    def _shadow(self, m: Module) -> list[data.View]:
        """The next weights of every row: each port's group is a chain that moves with each word
        but the last, which is for the group's first row."""
        cfg = self.cfg
        rows = []
        moves = Signal()
        m.d.comb += moves.eq(self.tag.valid & (self.tag.row != 0))
        for r in range(cfg.rows):
            port, row_in_port = divmod(r, cfg.load_cycles)
            if row_in_port == 0:
                rows.append(self.w[port])
            else:
                # Only bits that decide something have a reset.
                word = Signal(layouts.weights(cfg), name=f"shadow_{r}", reset_less=True)
                with m.If(moves):
                    m.d.sync += word.eq(rows[-1])
                rows.append(word)
        return rows


def _sum(m: Module, name: str, terms: list[Value]) -> Value:
    """The sum, two terms to an adder and a register behind each: an FPGA has it there anyway."""
    level = 0
    while len(terms) > 1:
        level += 1
        above = []
        for i in range(0, len(terms), 2):
            value = terms[i] + terms[i + 1] if i + 1 < len(terms) else terms[i]
            term = Signal(value.shape(), name=f"{name}_{level}_{i // 2}", reset_less=True)
            m.d.sync += term.eq(value)
            above.append(term)
        terms = above
    return terms[0]
