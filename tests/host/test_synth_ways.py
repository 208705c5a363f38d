"""host/synth/ways.py"""

from host.synth.ways import CARRY, FAR, INTO_CARRY, LUT, OUT_OF_CARRY, START, WIRES, Ways

NEAR = WIRES[0][1]


def cell(kind: str, outputs: dict[str, int], inputs: dict[str, int]) -> dict:
    return {
        "type": kind,
        "connections": {port: [net] for port, net in (outputs | inputs).items()},
        "port_directions": dict.fromkeys(outputs, "output") | dict.fromkeys(inputs, "input"),
    }


def test_a_way_is_the_clock_to_output_then_wires_and_tables_up_to_the_port():
    ways = Ways(
        {
            "a": cell("SB_DFF", {"Q": 10}, {"D": 99, "C": 1}),
            "first": cell("SB_LUT4", {"O": 11}, {"I0": 10}),
            "second": cell("SB_LUT4", {"O": 12}, {"I3": 11}),
            "data": cell("SB_DFF", {"Q": 13}, {"D": 12, "C": 1}),
            "enabled": cell("SB_DFFE", {"Q": 14}, {"D": 98, "E": 12, "C": 1}),
        }
    ).longest()
    to_table = START["SB_DFF"] + 2 * (NEAR + LUT)
    assert [(way.port, way.tables, way.start) for way in ways] == [("E", 2, "a"), ("D", 2, "a")]
    # An enable is at the end of a wire; the table before the data of a flip-flop is in its cell.
    assert abs(ways[0].nanoseconds - to_table - NEAR) < 1e-9
    assert abs(ways[1].nanoseconds - to_table) < 1e-9


def test_a_carry_chain_adds_a_little_for_each_bit_and_has_no_wires_within():
    bits = 500
    chain = {"q": cell("SB_DFF", {"Q": 10}, {"D": 9, "C": 1})}
    for i in range(bits):
        below = {"CI": 100 + i} if i else {}
        chain[f"carry_{i}"] = cell("SB_CARRY", {"CO": 101 + i}, {"I0": 10, **below})
    chain["sum"] = cell("SB_LUT4", {"O": 11}, {"I3": 100 + bits})
    chain["d"] = cell("SB_DFF", {"Q": 12}, {"D": 11, "C": 1})
    (way,) = Ways(chain).longest()
    wanted = START["SB_DFF"] + FAR + INTO_CARRY + (bits - 1) * CARRY + OUT_OF_CARRY + LUT
    assert abs(way.nanoseconds - wanted) < 1e-6
