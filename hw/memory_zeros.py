"""Memories that begin as zeros, written at once: Amaranth makes an object of every bit of them,
which is two thirds of the time in which a core becomes RTLIL."""

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from amaranth.back import rtlil

_bit_by_bit = rtlil.ModuleEmitter.emit_memory


def written_at_once() -> AbstractContextManager:
    """Within it Amaranth writes the same RTLIL, sooner.

    It takes the place of a method of the pinned Amaranth that is not public.
    """
    return patch.object(rtlil.ModuleEmitter, "emit_memory", _emit_memory)


def _emit_memory(emitter: Any, index: int, memory: Any) -> None:
    if any(memory.init):
        _bit_by_bit(emitter, index, memory)
        return
    bits = memory.width * memory.depth
    emitter.builder.cell(
        "$meminit_v2",
        ports={
            "ADDR": emitter.sigspec(),
            "DATA": f"{bits}'{'0' * bits}",
            "EN": f"{memory.width}'{'1' * memory.width}",
        },
        parameters={
            "MEMID": emitter.memories[index].memid,
            "ABITS": 0,
            "WIDTH": memory.width,
            "WORDS": memory.depth,
            "PRIORITY": 0,
        },
        src_loc=memory.src_loc,
    )
