"""One row of weight-stationary processing elements."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .multiplier import RowMultipliers


class PERow(wiring.Component):
    """Multiplies one activation, moving right, by ``cfg.cols`` stationary weights.

    A whole row is one component holding packed vectors: a component for each PE simulates half as
    fast in Verilator and compiles slower.

    The activation, and with it the bits that load and swap weights, reaches column ``c`` after
    ``c`` cycles; what enters a column from above must be as late. The next weights wait in a
    shadow, which is also the wire to the row below: a load writes the shadows of all rows down to
    the one that it is for, and the ones above it are written again by the loads that follow.

    Parameters
    ----------
    blocks
        Whether its products may take multiplier blocks; see `RowMultipliers`.

    Attributes
    ----------
    a : In
        Activation entering column 0.
    swap : In
        This activation is the first to meet the weights that wait in the shadow.
    load : In
        Write the shadow, one column a cycle.
    w_i, w_o : In, Out
        Weights from above, and the shadow.
    p_i, p_o : In, Out
        Partial sums from above, and those plus this row's products, one cycle later.
    """

    a: Signal
    swap: Signal
    load: Signal
    w_i: data.View
    w_o: data.View
    p_i: data.View
    p_o: data.View

    def __init__(self, cfg: Config, *, blocks: bool = True) -> None:
        self.cfg = cfg
        self.blocks = blocks
        super().__init__({
            "a":    In(layouts.INT8),
            "swap": In(1),
            "load": In(1),
            "w_i":  In(layouts.weights(cfg)),
            "w_o":  Out(layouts.weights(cfg)),
            "p_i":  In(layouts.sums(cfg)),
            "p_o":  Out(layouts.sums(cfg)),
        })  # fmt: skip

    @staticmethod
    def latency(cfg: Config) -> int:
        """Cycles from an activation at column 0 to the sum that holds its product."""
        return RowMultipliers.latency(cfg) + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cols = self.cfg.cols

        m.submodules.multipliers = multipliers = RowMultipliers(self.cfg, blocks=self.blocks)
        # Only bits that decide something have a reset: sums mean something when the tag that
        # travels beside their vector says so.
        shadow = Signal(layouts.weights(self.cfg), reset_less=True)
        p = Signal(layouts.sums(self.cfg), reset_less=True)
        # Bit c says what happens in column c this cycle; bit 0 is the input itself.
        swap_moved = Signal(cols - 1)
        load_moved = Signal(cols - 1)
        swap = Cat(self.swap, swap_moved)
        load = Cat(self.load, load_moved)
        m.d.sync += [swap_moved.eq(swap), load_moved.eq(load)]
        m.d.comb += [
            multipliers.a.eq(self.a),
            multipliers.swap.eq(swap),
            multipliers.w.eq(shadow),
        ]
        for c in range(cols):
            with m.If(load[c]):
                m.d.sync += shadow[c].eq(self.w_i[c])
            m.d.sync += p[c].eq(self.p_i[c] + multipliers.products[c])

        m.d.comb += [self.w_o.eq(shadow), self.p_o.eq(p)]
        return m
