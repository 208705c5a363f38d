"""Two rows of products, added in pairs: the leaves of the adder tree."""

from itertools import pairwise

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .multiplier import product_in_logic, sb_mac16
from .target import Target, target


class PairProducts(wiring.Component):
    """Multiplies two activations by the weights in use and adds the products of each column.

    All columns work in the same cycle. The forms are those of `RowMultipliers`; on iCE40 with one
    product register the blocks hold the weights and add as well, so that no logic is left outside.

    Parameters
    ----------
    rows
        2, or 1 for the last of an odd number of rows.
    blocks
        Whether the products may take multiplier blocks, on a part that has them.

    Attributes
    ----------
    a : In
        An activation for each row.
    swap : In
        From the next cycle's activations on, multiply by `w`.
    w : In
        Weights to be taken over, for each row.
    sums : Out
        One for each column, `latency` cycles behind the activations.
    """

    a: data.View
    swap: Signal
    w: data.View
    sums: data.View

    def __init__(self, cfg: Config, *, rows: int = 2, blocks: bool = True) -> None:
        self.cfg = cfg
        self.rows = rows
        self.blocks = blocks
        super().__init__({
            "a":    In(data.ArrayLayout(layouts.INT8, rows)),
            "swap": In(1),
            "w":    In(data.ArrayLayout(layouts.weights(cfg), rows)),
            "sums": Out(layouts.pair_sums(cfg)),
        })  # fmt: skip

    @staticmethod
    def latency(cfg: Config) -> int:
        """Cycles from activations to the sums of their products."""
        return cfg.product_registers + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        part = target(platform)
        form = part.family if part is not None and self.blocks else "generic"
        if form == "ice40" and self.cfg.product_registers == 1:
            self._in_blocks(m)
        else:
            self._beside_blocks(m, form, None if self.blocks else part)
        return m

    def _in_blocks(self, m: Module) -> None:
        """The block of the first row hands its products to that of the second, which adds its own.

        Its adders have 16 bits. The only sum that needs 17 is 2 * 128 * 128, and none is as low as
        what that becomes in 16 bits, nor within 255 above it.
        """
        cols = self.cfg.cols
        for c in range(0, cols, 2):
            pair = range(c, min(c + 2, cols))
            before: Value = Const(0, 32)
            for r in range(self.rows):
                o = Signal(32, name=f"o_{r}_{c}")
                adds = r == self.rows - 1
                m.submodules[f"block_{r}_{c}"] = sb_mac16(
                    self.a[r].replicate(len(pair)),
                    Cat(self.w[r][i] for i in pair),
                    o,
                    hold=~self.swap,
                    add=before if adds else None,
                )
                before = o
            for i, column in enumerate(pair):
                low = before[16 * i : 16 * i + 16]
                negative = low[15] & low[8:15].any()
                m.d.comb += self.sums[column].eq(Cat(low, negative).as_signed())

    def _beside_blocks(self, m: Module, form: str, of_luts: Target | None) -> None:
        cfg = self.cfg
        layout = data.ArrayLayout(layouts.products(cfg), self.rows)
        stages = [
            Signal(layout, name=f"product_{i}", reset_less=True)
            for i in range(cfg.product_registers)
        ]
        if form == "ice40":
            for r in range(self.rows):
                for c in range(0, cfg.cols, 2):
                    pair = range(c, min(c + 2, cfg.cols))
                    o = Signal(32, name=f"o_{r}_{c}")
                    m.submodules[f"block_{r}_{c}"] = sb_mac16(
                        self.a[r].replicate(len(pair)),
                        Cat(self.w[r][i] for i in pair),
                        o,
                        hold=~self.swap,
                    )
                    m.d.comb += Cat(stages[0][r][i] for i in pair).eq(o)
        else:
            w = Signal(data.ArrayLayout(layouts.weights(cfg), self.rows), reset_less=True)
            with m.If(self.swap):
                m.d.sync += w.eq(self.w)
            for r in range(self.rows):
                for c in range(cfg.cols):
                    product = product_in_logic(m, of_luts, f"luts_{r}_{c}", self.a[r], w[r][c])
                    m.d.sync += stages[0][r][c].eq(product)
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        products = stages[-1]
        added = Signal(layouts.pair_sums(cfg), reset_less=True)
        for c in range(cfg.cols):
            first = products[0][c]
            m.d.sync += added[c].eq(first + products[1][c] if self.rows == 2 else first)
        m.d.comb += self.sums.eq(added)
