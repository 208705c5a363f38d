"""Sites of the block RAMs that control logic reads."""

import json

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from host.synth import block_ram_sites
from host.synth.devices import DEVICES, device
from host.synth.flow import netlist_of
from hw.rtlil import TOP, convert
from tests.host.synth_tools import given

SITES = ("X1", "X2", "X3")


def module(*names, kind="DP16KD"):
    return {"cells": {name: {"type": kind} for name in names}}


def test_memories_that_control_logic_reads_stand_in_the_order_of_the_list():
    made = module(
        "core.runner.table$1.bank_0.0.0",
        "core.runner.sequencer.memory.0.0",
        "core.packets.memory.0.0",
        "core.runner.weights.bank_0.memory_0.0.0",
    )
    assert block_ram_sites.assign(made, SITES) == 3
    assert given(made) == {
        "core.packets.memory.0.0": "X1",
        "core.runner.sequencer.memory.0.0": "X2",
        "core.runner.table$1.bank_0.0.0": "X3",
    }


def test_those_beyond_the_sites_are_left_to_the_placer():
    made = module(*(f"core.runner.sequencer.memory.0.{i}" for i in range(5)))
    assert block_ram_sites.assign(made, SITES) == 3
    assert sorted(given(made).values()) == list(SITES)


def test_only_block_rams_get_sites():
    made = module("core.packets.memory.0.0_LUT4_Z", kind="LUT4")
    assert block_ram_sites.assign(made, SITES) == 0
    assert not given(made)


def test_no_site_is_given_twice():
    for part in DEVICES.values():
        assert len(set(part.close_block_rams)) == len(part.close_block_rams)


class Packets(wiring.Component):
    """As the core has them, and small: Yosys takes long for a core."""

    row: Signal
    data: Signal
    written: Signal

    def __init__(self):
        super().__init__({"row": In(9), "data": Out(32), "written": In(32)})

    def elaborate(self, platform):
        core, packets = Module(), Module()
        core.submodules.packets = packets
        packets.submodules.memory = memory = Memory(shape=32, depth=512, init=[])
        read, write = memory.read_port(), memory.write_port()
        packets.d.comb += [
            read.addr.eq(self.row),
            self.data.eq(read.data),
            write.addr.eq(self.row),
            write.data.eq(self.written),
            write.en.eq(1),
        ]
        top = Module()
        top.submodules.core = core
        return top


def test_the_netlist_that_is_placed_has_them():
    part = device("ecp5-85k")
    built = netlist_of(convert(Packets(), None), part, tell=lambda text: None)
    module = json.loads((built.folder / "netlist.json").read_text())["modules"][TOP]
    assert given(module) == {"core.packets.memory.0.0": part.close_block_rams[0]}
