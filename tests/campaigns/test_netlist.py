"""Which faults tests/campaigns/netlist.py takes for none."""

import pytest

from tests.campaigns.netlist import Netlist

TEXT = r"""
module \lepton
  wire width 5 \state
  wire width 8 \count
  wire width 4 \read
  wire width 2 \unread
  wire output 7 \same
  cell $eq \compare
    parameter \A_SIGNED 0
    parameter \B_SIGNED 0
    connect \A \state
    connect \B 4'1011
    connect \Y \same
  end
  cell $eq \signed
    parameter \A_SIGNED 1
    parameter \B_SIGNED 1
    connect \A { \state [3:0] 1'1 }
    connect \B 4'1011
    connect \Y \same
  end
  cell $logic_not \none
    connect \A \count [6:3]
    connect \Y \same
  end
  cell $logic_not \twice
    connect \A { \count [1] \state [0] \count [1] }
    connect \Y \same
  end
  cell $mem_v2 \memory
    connect \WR_DATA \count [3:0]
    connect \WR_EN { \state [1:0] 2'00 }
    connect \RD_DATA \read
  end
  cell $mux \lowest
    connect \A 5
    connect \B \read [1]
    connect \S \same
    connect \Y \unread
  end
  cell $mux \pick
    connect \A { \count [7] 2'01 \state [0] }
    connect \B \count [3:0]
    connect \S \same
    connect \Y \same
  end
end
"""


@pytest.mark.parametrize(
    ("fault", "none"),
    [
        ("compare -port B -portbit 3 -mode const1", True),
        ("compare -port B -portbit 2 -mode const1", False),
        ("compare -port B -portbit 2 -mode const0", True),
        ("compare -port B -portbit 2 -mode inv", False),
        ("pick -port A -portbit 1 -mode const1", True),
        ("pick -port A -portbit 2 -mode const0", True),
        ("pick -port A -portbit 2 -mode const1", False),
        ("pick -port A -portbit 3 -mode const0", False),
        ("compare -port A -portbit 0 -mode cnot1 -ctrlbit 4", True),
        ("compare -port A -portbit 0 -mode cnot1 -ctrlbit 2", True),
        ("compare -port A -portbit 0 -mode cnot1 -ctrlbit 1", False),
        ("compare -port A -portbit 0 -mode cnot0 -ctrlbit 1", True),
        ("compare -port A -portbit 0 -mode cnot0 -ctrlbit 4", False),
        ("compare -port Y -portbit 0 -mode const1", False),
        ("signed -port A -portbit 0 -mode cnot1 -ctrlbit 4", False),
        ("none -port A -portbit 2 -mode cnot1 -ctrlbit 0", True),
        ("none -port A -portbit 2 -mode cnot0 -ctrlbit 0", False),
        ("twice -port A -portbit 0 -mode const0", True),
        ("twice -port A -portbit 2 -mode const0", True),
        ("twice -port A -portbit 1 -mode const0", False),
        ("twice -port A -portbit 0 -mode const1", False),
        ("memory -port WR_DATA -portbit 1 -mode const1", True),
        ("memory -port WR_DATA -portbit 2 -mode const1", False),
        ("memory -port RD_DATA -portbit 1 -mode inv", False),
        ("memory -port RD_DATA -portbit 2 -mode inv", True),
        ("lowest -port A -portbit 2 -mode const1", True),
        ("lowest -port A -portbit 1 -mode const1", False),
        ("lowest -port Y -portbit 1 -mode inv", True),
        ("elsewhere -port A -portbit 2 -mode const0", False),
    ],
)
def test_a_fault_is_none_only_where_its_cell_shows_it(fault, none):
    assert bool(Netlist(TEXT).no_fault(f"-cell {fault}")) == none
