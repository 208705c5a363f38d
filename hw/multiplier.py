"""The multipliers of a row of processing elements, made of what the part has."""

from itertools import pairwise

from amaranth import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import layouts
from .carry_product import carry_product
from .config import Config
from .target import PRODUCTS_PER_BLOCK, Target, target


def blocks_of_row(cfg: Config, platform: object) -> int:
    """Multiplier blocks that a whole row takes; 0 where the part has none."""
    part = target(platform)
    return -(-cfg.cols // PRODUCTS_PER_BLOCK[part.family]) if part is not None else 0


class RowMultipliers(wiring.Component):
    """Multiplies one activation, moving right, by the weights in use.

    There are these forms, equal in every value and cycle: what synthesis makes of ``a * w``, the
    blocks of the parts in `target`, and for a part whose blocks have run out its LUTs.

    Parameters
    ----------
    blocks
        Whether the row may take multiplier blocks, on a part that has them.

    Attributes
    ----------
    a : In
        Activation entering column 0; column ``c`` has it ``c`` cycles later.
    swap : In
        Bit ``c``: from this activation on, column ``c`` multiplies by ``w[c]``.
    w : In
        Weights to be taken over.
    products : Out
        One for each column, `latency` cycles behind the activation.
    """

    a: Signal
    swap: Signal
    w: data.View
    products: data.View

    def __init__(self, cfg: Config, *, blocks: bool = True) -> None:
        self.cfg = cfg
        self.blocks = blocks
        super().__init__({
            "a":        In(layouts.INT8),
            "swap":     In(cfg.cols),
            "w":        In(layouts.weights(cfg)),
            "products": Out(layouts.products(cfg)),
        })  # fmt: skip

    @staticmethod
    def latency(cfg: Config) -> int:
        """Cycles from an activation to its product in column 0."""
        return 1 + cfg.product_registers

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        part = target(platform)
        form = part.family if part is not None and self.blocks else "generic"

        # Only bits that decide something have a reset.
        a = Signal(layouts.weights(cfg), reset_less=True)
        m.d.sync += a.eq(Cat(self.a, a.as_value()))
        stages = [
            Signal(layouts.products(cfg), name=f"product_{i}", reset_less=True)
            for i in range(cfg.product_registers)
        ]
        if form == "ecp5":
            # Its own registers hold activation, weight and product; `a` only moves on.
            entering = [self.a, *(a[c] for c in range(cfg.cols - 1))]
            for c in range(cfg.cols):
                m.submodules[f"block_{c}"] = _mult18x18d(
                    entering[c], self.w[c], self.swap[c], stages[0][c]
                )
        else:
            w = Signal(layouts.weights(cfg), reset_less=True)
            for c in range(cfg.cols):
                with m.If(self.swap[c]):
                    m.d.sync += w[c].eq(self.w[c])
            if form == "ice40":
                for c in range(0, cfg.cols, 2):
                    pair = range(c, min(c + 2, cfg.cols))
                    m.submodules[f"block_{c}"] = sb_mac16(
                        Cat(a[i] for i in pair),
                        Cat(w[i] for i in pair),
                        Cat(stages[0][i] for i in pair),
                    )
            else:
                for c in range(cfg.cols):
                    m.d.sync += stages[0][c].eq(product_in_logic(m, part, f"luts_{c}", a[c], w[c]))
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        m.d.comb += self.products.eq(stages[-1])
        return m


class RegisteredProduct(wiring.Component):
    """``a * b``: the factors in a register, then the product, `LATENCY` cycles in all.

    On ECP5 all three are those of a multiplier block, if the factors fit its inputs.

    Attributes
    ----------
    a, b : In
        Factors.
    o : Out
        Their exact product.
    """

    LATENCY = 2

    a: Signal
    b: Signal
    o: Signal

    def __init__(self, a: Shape, b: Shape) -> None:
        self.shapes = a, b
        super().__init__({"a": In(a), "b": In(b), "o": Out((Const(0, a) * Const(0, b)).shape())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        part = target(platform)
        # The block's factors are signed: one without a sign needs a bit more.
        fits = all(shape.width + (not shape.signed) <= BLOCK_WIDTH for shape in self.shapes)
        if part is not None and part.family == "ecp5" and fits:
            m.submodules.block = _mult18x18d(self.a, self.b, Const(1), self.o)
        else:
            a = Signal.like(self.a, reset_less=True)
            b = Signal.like(self.b, reset_less=True)
            m.d.sync += [a.eq(self.a), b.eq(self.b), self.o.eq(a * b)]
        return m


BLOCK_WIDTH = 18
"""Bits of a factor of `MULT18X18D`."""


def product_in_logic(m: Module, part: Target | None, name: str, a: Value, w: Value) -> Value:
    """``a * w`` of two int8, of which synthesis makes no multiplier block; without a part it may.

    What is needed for it gets names that begin with `name`.
    """
    if part is None:
        return a * w
    return carry_product(m, name, a, w) if part.family == "ecp5" else _partial_products(a, w)


def _partial_products(a: Value, w: Value) -> Value:
    """``a * w`` as a sum of partial products."""
    # Cut back to 8 bits: `&` with something unsigned has a ninth, and it is no sign.
    parts = [(a & bit.replicate(8))[:8].as_signed() << i for i, bit in enumerate(w)]
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + (
        (parts[4] + parts[5]) + (parts[6] - parts[7])
    )


def _mult18x18d(a: Value, w: Value, take: Value, product: Value) -> Instance:
    """An ECP5 block; the weight is its second input register, which has an enable.

    Factors are at the upper end of its inputs, so that no pin has a copy of a sign: below them are
    zeros, which take no wires, in the product, too. The cascades (C, SRI) must stay open: tied to
    zero, they cannot be routed.
    """
    inputs = {}
    zeros = 0
    for name, value in (("A", a), ("B", w)):
        above = Const(0, int(not value.shape().signed))
        below = BLOCK_WIDTH - len(value) - len(above)
        wide = Cat(Const(0, below), value, above)
        inputs |= {f"i_{name}{i}": wide[i] for i in range(BLOCK_WIDTH)}
        zeros += below
    outputs = {f"o_P{zeros + i}": product[i] for i in range(len(product))}
    controls = {f"i_{name}": Const(0) for name in ("SOURCEA", "SOURCEB", "RST0")}
    return Instance(
        "MULT18X18D",
        p_REG_INPUTA_CLK="CLK0",
        p_REG_INPUTA_CE="CE0",
        p_REG_INPUTA_RST="RST0",
        p_REG_INPUTB_CLK="CLK0",
        p_REG_INPUTB_CE="CE1",
        p_REG_INPUTB_RST="RST0",
        p_REG_OUTPUT_CLK="CLK0",
        p_REG_OUTPUT_CE="CE0",
        p_REG_OUTPUT_RST="RST0",
        p_GSR="DISABLED",
        i_CLK0=ClockSignal(),
        i_CE0=Const(1),
        i_CE1=take,
        i_SIGNEDA=Const(int(a.shape().signed)),
        i_SIGNEDB=Const(int(w.shape().signed)),
        **controls,
        **inputs,
        **outputs,
    )


def sb_mac16(
    a: Value, w: Value, o: Value, *, hold: Value | None = None, add: Value | None = None
) -> Instance:
    """An iCE40 block in its mode of two products of 8 bits, both from its registers.

    With `hold` it has a register for the weights, which keeps them while that is high. With `add`
    its two adders of 16 bits put the halves of that to the products, into another register.
    """
    unused = set(MAC16_ZEROS)
    options: dict[str, object] = {}
    if hold is not None:
        options |= {"p_B_REG": 1, "i_BHOLD": hold}
        unused.remove("BHOLD")
    if add is None:
        options |= {"p_TOPOUTPUT_SELECT": 2, "p_BOTOUTPUT_SELECT": 2}
        high = low = Const(0, 16)
    else:
        options |= {f"p_{half}OUTPUT_SELECT": 1 for half in ("TOP", "BOT")}
        options |= {f"p_{half}ADDSUB_LOWERINPUT": 1 for half in ("TOP", "BOT")}
        options |= {f"p_{half}ADDSUB_UPPERINPUT": 1 for half in ("TOP", "BOT")}
        low, high = add[:16], add[16:]
    return Instance(
        "SB_MAC16",
        p_MODE_8x8=1,
        p_A_SIGNED=1,
        p_B_SIGNED=1,
        p_TOP_8x8_MULT_REG=1,
        p_BOT_8x8_MULT_REG=1,
        i_CLK=ClockSignal(),
        i_CE=Const(1),
        i_A=Cat(a, Const(0, 16 - len(a))),
        i_B=Cat(w, Const(0, 16 - len(w))),
        i_C=high,
        i_D=low,
        **{f"i_{name}": Const(0) for name in sorted(unused)},
        **options,
        o_O=Cat(o, Signal(32 - len(o))),
    )


MAC16_ZEROS = (
    "AHOLD", "BHOLD", "CHOLD", "DHOLD", "IRSTTOP", "IRSTBOT", "ORSTTOP", "ORSTBOT", "OLOADTOP",
    "OLOADBOT", "ADDSUBTOP", "ADDSUBBOT", "OHOLDTOP", "OHOLDBOT", "CI", "ACCUMCI", "SIGNEXTIN",
)  # fmt: skip
"""Controls of the block that this mode does not use."""
