"""tests/campaigns/functional.py and coverage.py"""

from collections import Counter

import numpy as np
import pytest

from hw import isa
from hw.isa import Cause, Packet, Reply, Space
from sim import coverage as recorded
from sim.device import Stall, Stalls
from tests.campaigns import coverage, functional

LAYER = {f.name: 0 for f in isa.LAYER if f.name != "op"}


def packet(kind, payload=(), space=0):
    return [len(payload) | space << 16 | kind.value << 24, *payload]


def listen(sent, replies, stalls=None):
    counts = Counter()
    watcher = functional.Watcher(stalls)
    last = np.zeros(sum(map(len, sent)), bool)
    last[np.cumsum([len(p) for p in sent]) - 1] = True
    watcher.sent(np.array([w for p in sent for w in p], np.uint32), last, counts)
    watcher.came([np.array(r, np.uint32) for r in replies], counts)
    return counts


def program(**fields):
    words = isa.encode(isa.Op.LAYER, **{**LAYER, **fields}) + isa.encode(isa.Op.END)
    return packet(Packet.WRITE, [0, len(words), *words], Space.PROGRAM.value)


RUN = packet(Packet.RUN, [1, 0, 1, 1, 0])


def test_a_layer_counts_by_what_its_instruction_says_once_its_run_is_done():
    sent = [program(y_last=3, window_x_last=1, slice_last=2, src_input=1), RUN]
    assert not any(key[0].startswith(("kinds", "shapes")) for key in listen(sent, []))
    counts = listen(sent, [packet(Reply.DONE)], Stalls(output=Stall(every=3)))
    kind = "a map of results, largest"
    assert counts["kinds and stalls", kind, "out"] == 1
    shapes = {key[2] for key in counts if key[:2] == ("kinds and shapes", kind)}
    assert shapes == {"several slices", "reads the input"}


@pytest.mark.parametrize(
    ("sent", "cause", "when"),
    [
        ([RUN, RUN], Cause.BUSY, "during a run"),
        ([packet(Packet.INPUT), RUN], Cause.UNEXPECTED, "no run going on"),
        ([RUN, packet(Packet.INPUT)], Cause.UNEXPECTED, "during a run"),
    ],
    ids=["second run", "input before a run", "input in a run"],
)
def test_an_error_is_during_a_run_if_the_packet_it_answers_was(sent, cause, when):
    refused = packet(Packet.INPUT) if cause is Cause.UNEXPECTED else RUN
    counts = listen(sent, [packet(Reply.ERROR, [cause.value, refused[0]])])
    assert counts["errors and stalls", f"{cause.name}, {when}", "none"] == 1


def test_a_reset_ends_a_run():
    error = packet(Reply.ERROR, [Cause.OPCODE.value, 0])
    sent = [RUN, packet(Packet.RESET), [0]]
    counts = listen(sent, [packet(Reply.RESET), error])
    assert counts["errors and stalls", "OPCODE, no run going on", "none"] == 1


def test_every_cell_that_cannot_be_reached_is_one_of_a_table():
    for table, row, column in functional.IMPOSSIBLE:
        rows, columns = functional.TABLES[table]
        assert any(functional.impossible(table, r, c) for r in rows for c in columns), (row, column)


VERILOG = """\
module \\lepton.runner.lanes.lane_0.array (a);
  always @* begin
    if (a) begin
      \\$12  = 1;
    end
  end
endmodule
"""


def point(kind, line, comment, lines=""):
    keys = {
        "f": "lepton.v", "l": str(line), "n": "3", "t": kind, "o": comment, "S": lines,
        "page": f"{kind}/lepton.runner.lanes.lane_{line % 2}.array",
    }  # fmt: skip
    return "".join(f"\x01{key}\x02{value}" for key, value in keys.items())


def test_counts_of_processes_and_designs_are_joined(tmp_path, monkeypatch):
    monkeypatch.setenv(recorded.VARIABLE, str(tmp_path / "all"))
    for name, risen in (("one", (1, 0)), ("other", (0, 1))):
        design = tmp_path / name
        design.mkdir()
        (design / recorded.VERILOG).write_text(VERILOG)
        for rise, fall in (risen, (0, 1)):
            found = tmp_path / "found.dat"
            counts = {
                point("v_toggle", 1, "a[3]:0->1"): rise, point("v_toggle", 1, "a[3]:1->0"): fall,
                point("v_toggle", 2, "b"): 0, point("v_branch", 3, "if", "3-4"): rise,
            }  # fmt: skip
            text = "".join(f"C '{p}' {count}\n" for p, count in counts.items())
            found.write_text("# SystemC::Coverage-3\n" + text)
            recorded.add(found, design)
            assert not found.exists()
    (array,) = coverage.components(tmp_path / "all").values()
    # In the first design it rose once and fell once, in another simulation.
    assert array.toggles == {("a", 3): True, ("b", 0): False}
    assert array.lines == {"if: if (a) begin $ = 1; (1)": True}
    assert coverage.grouped([("x", 1), ("x", 2), ("y", 0), ("x", 7)]) == ["x[2:1]", "x[7]", "y[0]"]
