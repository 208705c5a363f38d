"""A product of two int8 on the carry chains of ECP5, for a row without multiplier blocks."""

from collections.abc import Sequence

from amaranth import Cat, Const, Instance, Module, Signal, Value

AND_AND, NAND_AND = 0x7888, 0x8777
"""Tables of a bit of a chain, ``A & B`` plus ``C & D`` and ``~(A & B)`` plus ``C & D``.

A chain carries ``table(A, B, 0, 0)`` where its bit is 0: there the first term, which equals the
second. So what is inverted comes first.
"""

Bit = tuple[Value, Value, Value, Value]
"""Inputs A to D of one bit of a chain."""

ZERO, ONE = Const(0), Const(1)


def carry_product(m: Module, name: str, a: Value, w: Value) -> Value:
    """``a * w`` in 36 `CCU2C` and a LUT, which are 73 LUTs.

    A `CCU2C` adds two bits, and its two LUTs have inputs left to make each of them from two
    factors: so two rows of partial products are added without a LUT for either of them. The four
    sums of two rows, the products by the weight's digits in base 4, are added as a tree. None
    needs more than 10 bits, none of the next two more than 12.
    """
    digits = [_digit_product(m, f"{name}_{k}", a, w[2 * k : 2 * k + 2]) for k in range(3)]
    digits.append(_last_digit_product(m, f"{name}_3", a, w[6:8]))
    halves = [_sum(m, f"{name}_{k}{k + 1}", digits[k], digits[k + 1], 2, 12) for k in (0, 2)]
    return _sum(m, f"{name}_sum", halves[0], halves[1], 4, 16).as_signed()


def _digit_product(m: Module, name: str, a: Value, digit: Value) -> Value:
    """``a`` by a digit of two bits, from 0 to 3: a sum of 10 bits."""
    bits = [(_of(a, i), digit[0], _of(a, i - 1), digit[1]) for i in range(10)]
    return _chain(m, name, AND_AND, bits)


def _last_digit_product(m: Module, name: str, a: Value, digit: Value) -> Value:
    """``a`` by the weight's last two bits, which stand for -2 to 1: a sum of 10 bits.

    Twice ``a`` is taken away as its complement and one. Both have a one in bit 0, where they leave
    what is there alone and carry into the next bit: the chain begins with that carry.
    """
    carry = (ZERO, ZERO, ONE, ONE)
    bits = [(_of(a, i - 1), digit[1], _of(a, i), digit[0]) for i in range(1, 10)]
    return Cat(a[0] & digit[0], _chain(m, name, NAND_AND, [carry, *bits])[1:])


def _sum(m: Module, name: str, low: Value, high: Value, shift: int, width: int) -> Value:
    """``low`` plus ``high << shift``, both signed, of so many bits."""
    bits = [(_of(low, i), ONE, _of(high, i - shift), ONE) for i in range(shift, width)]
    return Cat(low[:shift], _chain(m, name, AND_AND, bits))


def _of(value: Value, i: int) -> Value:
    """Bit ``i`` of a signed value, which has zeros below bit 0."""
    return ZERO if i < 0 else value[min(i, len(value) - 1)]


def _chain(m: Module, name: str, table: int, bits: Sequence[Bit]) -> Value:
    """The sum of the two terms of all bits, an even number of them, without the last carry."""
    total = Signal(len(bits), name=name)
    carries = Signal(len(bits) // 2, name=f"{name}_carry")
    for i in range(0, len(bits), 2):
        inputs = {
            f"i_{port}{half}": value
            for half in (0, 1)
            for port, value in zip("ABCD", bits[i + half], strict=True)
        }
        m.submodules[f"{name}_{i}"] = Instance(
            "CCU2C",
            p_INIT0=Const(table, 16),
            p_INIT1=Const(table, 16),
            p_INJECT1_0="NO",
            p_INJECT1_1="NO",
            i_CIN=ZERO if i == 0 else carries[i // 2 - 1],
            o_S0=total[i],
            o_S1=total[i + 1],
            o_COUT=carries[i // 2],
            **inputs,
        )
    return total
