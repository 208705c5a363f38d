"""An FPGA's own blocks against the generic forms: hw/multiplier.py, hw/pairs.py, hw/weights.py.

iCE40's cells are Yosys' models; ECP5's blocks are those of sim/cells/ecp5_blocks.v.
"""

import pytest
from amaranth import signed, unsigned

from hw.config import Config
from hw.multiplier import RowMultipliers
from hw.pairs import PairProducts
from hw.target import TARGETS
from hw.weights import SinglePortBank
from sim.bench import build, forms
from sim.bench.run import run
from sim.errors import SimulationError

UP5K, ECP5 = TARGETS["iCE40UP5K"], TARGETS["LFE5U-25F"]
REGISTERS = (1, 2, 3)


def row(cols, registers):
    return Config(rows=3, cols=cols, product_registers=registers)


def ice40_checks():
    """An odd number of columns leaves half a block; two groups of blocks hold the weights."""
    yield from (forms.multipliers(f"mac16_{r}", row(3, r)) for r in REGISTERS)
    # With one register the blocks add, and hold the weights; with more they only hold them.
    yield from (forms.pairs(f"pairs_{r}", row(3, r)) for r in REGISTERS)
    yield from (forms.pairs(f"pairs_of_one_{r}", row(3, r), 1) for r in (1, 2))
    yield forms.pairs("luts_pairs", row(2, 1), blocks=False)
    yield forms.banks("spram", Config(rows=3, cols=7, weight_depth=2 * SinglePortBank.DEPTH))


def ecp5_checks():
    yield from (forms.multipliers(f"mult18_{r}", row(2, r)) for r in REGISTERS)
    yield from (forms.multipliers(f"luts_{r}", row(2, r), blocks=False) for r in REGISTERS)
    yield from (forms.pairs(f"luts_pairs_{r}", row(2, r), blocks=False) for r in REGISTERS)
    yield forms.products("mult18_signed", signed(17), unsigned(17))
    yield forms.products("mult18_widest", unsigned(17), signed(18))
    # A factor of 18 bits without a sign would lose its highest one in a block.
    yield forms.products("luts_18_unsigned", unsigned(18), unsigned(16))


CHECKS = {"ice40": (UP5K, ice40_checks), "ecp5": (ECP5, ecp5_checks)}


def compare(text, names, folder):
    case = {"names": names, "cycles": forms.CYCLES}
    run(build.executable(text), "forms", "forms_are_equal", folder, case)


@pytest.mark.parametrize("family", CHECKS)
def test_blocks_are_equal_to_the_generic_form_in_every_value_and_cycle(family, tmp_path):
    target, make = CHECKS[family]
    checks = list(make())
    text = forms.verilog(checks, target)
    for check in checks:
        design = text.split(f"module {check.name}_vendor")[1].split(f"module {check.name}(")[0]
        cell = {
            "mac16": "SB_MAC16", "pairs": "SB_MAC16", "spram": "SB_SPRAM256KA",
            "mult18": "MULT18X18D",
        }  # fmt: skip
        kind = check.name.split("_")[0]
        assert kind == "luts" or f"{cell[kind]} " in design
        assert kind != "luts" or not ("MULT" in design or "SB_MAC16" in design)
        # Rows and pairs without blocks are on the carry chains, where the part has such.
        carries = family == "ecp5" and isinstance(check.vendor, RowMultipliers | PairProducts)
        assert ("CCU2C " in design) == (carries and kind == "luts")
    compare(text, [check.name for check in checks], tmp_path)


def test_one_wrong_product_of_all_is_noticed(tmp_path):
    text = forms.verilog([forms.multipliers("mult18", row(1, 1))], ECP5)
    right = "wire [37:0] product = $signed(a) * $signed(b);"
    assert right in text
    # Factors of 8 bits are at the upper end of the block's 18.
    wrong = "a[17:10] == 77 && b[17:10] == 8'h91"
    broken = text.replace(right, right.replace(";", f" + ({wrong} ? 1 << 20 : 0);"))
    with pytest.raises(AssertionError, match="mult18: 1 of 89983 cycles differ"):
        compare(broken, ["mult18"], tmp_path)


def test_one_wrong_bit_of_a_table_on_the_carry_chains_is_noticed(tmp_path):
    text = forms.verilog([forms.multipliers("luts", row(1, 1), blocks=False)], ECP5)
    assert "16'h8777" in text
    before, after = text.rsplit("16'h8777", 1)
    with pytest.raises(AssertionError, match=r"luts: \d+ of 89983 cycles differ"):
        compare(f"{before}16'h0777{after}", ["luts"], tmp_path)


@pytest.mark.parametrize(
    "asked",
    ['.REG_OUTPUT_CLK("CLK1")', '.REG_OUTPUT_CLK("CLK0"), .RESETMODE("ASYNC")'],
    ids=["another clock", "an asynchronous reset"],
)
def test_a_stand_in_refuses_what_it_does_not_model(asked):
    text = forms.verilog([forms.multipliers("mult18", row(1, 1))], ECP5)
    assert '.REG_OUTPUT_CLK("CLK0")' in text
    with pytest.raises(SimulationError, match="this model has one clock"):
        build.executable(text.replace('.REG_OUTPUT_CLK("CLK0")', asked))
