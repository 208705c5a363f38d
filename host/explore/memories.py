"""The memories of a core and the blocks that they take, before any synthesis: an estimate."""

from dataclasses import dataclass, replace
from functools import lru_cache

from host.synth.devices import Device
from hw import isa
from hw.config import Config
from hw.layouts import WORD
from hw.packets import CAUSE
from hw.weights import SinglePortBank


@dataclass(frozen=True)
class Shape:
    """So many equal memories."""

    count: int
    width: int
    depth: int
    piece: int = 0
    """Bits that have a write enable of their own; 0: all together."""
    single_port: bool = False
    """May be single-port RAM where the part has it."""

    def blocks(self, width: int, depth: int) -> int:
        """Blocks of that form that one of these memories takes."""
        rows = -(-self.depth // depth)
        if self.piece != 8:
            # A memory for each piece.
            piece = self.piece or self.width
            whole, rest = divmod(self.width, piece)
            return (whole * -(-piece // width) + -(-rest // width)) * rows
        # Enables are of 8 or 9 bits; narrower forms hold a byte in several blocks.
        count = self.width // 8
        return (-(-count // (width // 8)) if width >= 8 else count * (8 // width)) * rows


def weights(ports: int, columns: int, depth: int) -> Shape:
    """The weight memory."""
    return Shape(ports, 8 * columns, depth, piece=32, single_port=True)


def table(requantizers: int, depth: int) -> Shape:
    """Factors and biases of channels."""
    return Shape(requantizers, 32 * isa.TABLE_WORDS, depth)


def program(depth: int) -> Shape:
    """Instructions."""
    return Shape(1, 32, depth)


def shapes(cfg: Config) -> list[Shape]:
    """All memories of a core with their sizes in bits and rows."""
    lanes, columns, acc = cfg.lanes, cfg.cols, cfg.acc_width
    packets = 1 << (2 * (cfg.packet_words + 1) - 1).bit_length()
    # As `layouts.result` has it, which takes long to ask.
    target = cfg.address_width + (cfg.table_depth - 1).bit_length()
    result = target + (max(2, cfg.beats) - 1).bit_length()
    # Columns in step share a memory; that of the accumulators has a row of zeros.
    memories, wide = (lanes, columns * acc) if cfg.adder_tree else (lanes * columns, acc)
    bank_depth = cfg.scratchpad_bytes // (2 * cfg.bank_bytes)
    activations = Shape(2 * lanes, 8 * cfg.bank_bytes, bank_depth, piece=8)
    if cfg.adder_tree:
        activations = Shape(lanes * cfg.bank_bytes, 8, 2 * bank_depth)
    found = [
        weights(cfg.weight_ports, columns, cfg.weight_depth),
        activations,
        Shape(memories, wide, cfg.acc_depth + cfg.adder_tree),
        Shape(memories, wide, cfg.result_depth),
        table(cfg.requantizers, cfg.table_depth),
        program(cfg.program_depth),
        Shape(1, WORD.width, packets),
        Shape(1, CAUSE, packets),
        Shape(1, result, cfg.result_depth),
    ]
    if cfg.trace_depth:
        found.append(Shape(1, 32 * len(isa.counters(cfg)), cfg.trace_depth))
    return found


BLOCKS = {
    "ice40": ((16, 256), (8, 512), (4, 1024), (2, 2048)),
    "ecp5": ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
}
"""Widths of a block of RAM and the rows that it then has."""
LEAST_BITS = {"ice40": 0, "ecp5": 1153}
"""Of a memory that becomes blocks; ECP5 makes smaller ones of LUTs."""
RAM_LUTS = 4
"""LUTs of 16 rows of 4 bits."""
SINGLE_PORT = (SinglePortBank.WIDTH, SinglePortBank.DEPTH)


@dataclass(frozen=True)
class Memories:
    """What all memories take."""

    brams: int
    sprams: int
    luts: int
    """Of memories that are made of LUTs."""


def raised(shape: Shape, family: str, *, for_nothing: bool) -> int:
    """The power of two at or above its depth; `for_nothing` only where it takes no more blocks.

    Then each bit has a block to itself, and nothing behind the blocks selects one: fewer LUTs, and
    on ECP5 the register behind the memory is the blocks' own (docs/decisions/0015).
    """
    full = replace(shape, depth=1 << (shape.depth - 1).bit_length())
    in_luts = shape.width * shape.depth < LEAST_BITS[family]
    more = _blocks_of_one(full, family) > _blocks_of_one(shape, family)
    return shape.depth if in_luts or (for_nothing and more) else full.depth


@lru_cache(4096)
def _blocks_of_one(shape: Shape, family: str) -> int:
    return min(shape.blocks(*form) for form in BLOCKS[family])


def blocks(cfg: Config, device: Device) -> Memories:
    """Of all memories of a core on that device, as Yosys is expected to map them."""
    brams = sprams = luts = 0
    free = device.sprams
    for shape in shapes(cfg):
        if shape.single_port and free:
            width, depth = SINGLE_PORT
            need = shape.count * -(-shape.width // width) * -(-shape.depth // depth)
            if need <= free:
                sprams += need
                continue
        if shape.width * shape.depth < LEAST_BITS[device.family]:
            luts += shape.count * RAM_LUTS * -(-shape.width // 4) * -(-shape.depth // 16)
            continue
        brams += shape.count * _blocks_of_one(shape, device.family)
    return Memories(brams, sprams, luts)
