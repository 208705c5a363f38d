"""What can be chosen when a Lepton is generated. Plain Python: host code imports this too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from .errors import ConfigError

VERSION = 3
"""Of the packets, the instructions and this list of fields; hardware and driver must agree."""

LINK_WIDTHS = (8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Parameters of one accelerator.

    Everything here is chosen by a person; what follows from these numbers is a property.
    Every field is an integer and is reported by the ``ID`` packet in this order.
    """

    rows: int = 15
    """Rows of the array: bytes of one activation slice."""
    cols: int = 6
    """Columns of the array: output channels of one tile."""
    lanes: int = 1
    """Arrays in lockstep, each with its own activations, all with the same weights."""
    weight_ports: int = 1
    """Rows of weights loaded per cycle."""
    requantizers: int = 1
    """Results requantized per cycle."""
    acc_width: int = 32
    """Bits of an accumulator."""
    multiplier_width: int = 16
    """Bits of a requantization multiplier."""
    scratchpad_bytes: int = 32768
    """Activation memory of each lane."""
    weight_depth: int = 16384
    """Words of weight memory; a word is `cols` bytes for each weight port."""
    acc_depth: int = 512
    """Accumulators of each column: positions x column tiles of one block."""
    table_depth: int = 512
    """Words of the requantization table; a word has an entry for each requantizer."""
    program_depth: int = 2048
    """32-bit words of program memory."""
    result_depth: int = 64
    """Results (vectors of one position) that may wait for requantization."""
    packet_words: int = 255
    """Longest payload of a packet, in 32-bit words."""
    trace_depth: int = 64
    """Layer instructions whose start is recorded; 0 leaves the trace out."""
    link_width: int = 32
    """Bits of a beat of the host link: 8, 16, 32 or 64."""
    product_registers: int = 2
    """Registers behind each multiplier."""
    adder_tree: int = 0
    """Add the products of a column in a tree (1), all in the same cycle, or from PE to PE (0)."""
    serial_requant: int = 0
    """Requantize with few cells (1), a value every `requant_cycles`, or a value every cycle (0)."""
    prefetch: int = 1
    """1: the next instruction is fetched while one is at work; 0: behind it, which needs only one
    copy of the instruction."""
    stall_counters: int = 1
    """1 counts vectors and stalls; 0 counts nothing but the cycles of a run."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigError(f"{name}={value!r} is not an integer from {low} to {high}")
        if self.weight_ports > self.rows:
            raise ConfigError(
                f"weight_ports={self.weight_ports} is more than the {self.rows} rows to be loaded"
            )
        if self.requantizers > self.cols:
            raise ConfigError(
                f"requantizers={self.requantizers} is more than the {self.cols} columns to serve"
            )
        if self.requantizers > self.bank_bytes:
            raise ConfigError(
                f"requantizers={self.requantizers} is more than the {self.bank_bytes} bytes that "
                f"the scratchpad of {self.rows} rows writes per cycle"
            )
        if self.link_width not in LINK_WIDTHS:
            raise ConfigError(f"link_width={self.link_width} is none of {LINK_WIDTHS}")
        if self.acc_width < self.sum_width:
            raise ConfigError(
                f"acc_width={self.acc_width} does not hold the sum of {self.rows} products; "
                f"needs {self.sum_width}"
            )
        for name in ("scratchpad_bytes", "result_depth"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ConfigError(f"{name}={value} is not a power of two")
        if self.scratchpad_bytes < 4 * self.bank_bytes:
            raise ConfigError(
                f"scratchpad_bytes={self.scratchpad_bytes} is too small for {self.rows} rows; "
                f"needs {4 * self.bank_bytes}"
            )

    @property
    def pes(self) -> int:
        """Multiply-accumulates per cycle, of all lanes."""
        return self.rows * self.cols * self.lanes

    @property
    def sum_width(self) -> int:
        """Bits of a partial sum in the array: `rows` products of at most 128 * 128."""
        return (self.rows * 128 * 128).bit_length() + 1

    @property
    def load_cycles(self) -> int:
        """Words of one tile of weights, and so the cycles that loading it takes."""
        return -(-self.rows // self.weight_ports)

    @property
    def port_words(self) -> int:
        """32-bit words that hold the `cols` weights of one port."""
        return -(-self.cols // 4)

    @property
    def beats(self) -> int:
        """Cycles in which the requantizers serve all columns."""
        return -(-self.cols // self.requantizers)

    @property
    def requant_digits(self) -> int:
        """Steps of a serial requantizer: pairs of bits of twice a multiplier."""
        return self.multiplier_width // 2 + 1

    @property
    def requant_cycles(self) -> int:
        """Cycles from one value of a requantizer to the next."""
        return self.requant_digits + 7 if self.serial_requant else 1

    @property
    def bank_bytes(self) -> int:
        """Bytes of a word of one of the scratchpad's two banks: any slice spans at most two."""
        return max(4, 1 << (self.rows - 1).bit_length())

    @property
    def scratchpad_words(self) -> int:
        """32-bit words of one lane's scratchpad."""
        return self.scratchpad_bytes // 4

    @property
    def address_width(self) -> int:
        """Bits of a byte address of the scratchpad."""
        return (self.scratchpad_bytes - 1).bit_length()

    def words(self) -> tuple[int, ...]:
        """Every field, in the order of the ``ID`` reply."""
        return tuple(getattr(self, f.name) for f in fields(self))

    def items(self) -> Iterator[tuple[str, int]]:
        """Names and values of all fields."""
        return ((f.name, getattr(self, f.name)) for f in fields(self))

    def with_fields(self, changes: Mapping[str, int]) -> "Config":
        """A copy with other values; an unknown name is refused with those there are."""
        names = [f.name for f in fields(self)]
        for name in changes:
            if name not in names:
                raise ConfigError(
                    f"a configuration has no field {name!r}; it has {', '.join(names)}"
                )
        return replace(self, **changes)


LIMITS: dict[str, tuple[int, int]] = {
    "rows": (1, 128),
    "cols": (1, 128),
    "lanes": (1, 16),
    "weight_ports": (1, 128),
    "requantizers": (1, 128),
    "acc_width": (16, 40),
    "multiplier_width": (8, 24),
    "scratchpad_bytes": (64, 1 << 20),
    "weight_depth": (4, 1 << 20),
    "acc_depth": (4, 1 << 16),
    "table_depth": (2, 1 << 16),
    "program_depth": (32, 1 << 16),
    "result_depth": (4, 1 << 12),
    "packet_words": (16, 4095),
    "trace_depth": (0, 1 << 12),
    "link_width": (8, 64),
    "product_registers": (1, 3),
    "adder_tree": (0, 1),
    "serial_requant": (0, 1),
    "prefetch": (0, 1),
    "stall_counters": (0, 1),
}
"""Smallest and largest value of each field."""

NAMED: dict[str, Config] = {
    "tiny": Config(
        rows=3,
        cols=2,
        scratchpad_bytes=16384,
        acc_depth=256,
        program_depth=1024,
        weight_depth=32768,
    ),
    "default": Config(),
    "wide": Config(rows=16, cols=16),
    # 16 products on 8 blocks. Two columns of eight rows with four ports read all four SPRAMs in
    # full, 8 bytes a cycle, so that a fully connected layer of one image does half of the work.
    "up5k": Config(
        rows=8,
        cols=2,
        weight_ports=4,
        acc_width=24,
        # Half of what LeNet's tensors take side by side saves 8 of the part's 30 block RAMs: there
        # is one input slot, and the first layer writes over the image that it reads.
        scratchpad_bytes=4096,
        weight_depth=8192,
        acc_depth=255,
        table_depth=256,
        program_depth=256,
        result_depth=64,
        packet_words=127,
        trace_depth=0,
        product_registers=1,
        adder_tree=1,
        serial_requant=1,
        prefetch=0,
        stall_counters=0,
    ),
    # Each weight memory is as deep as a block of RAM with 4 bits: nothing selects between blocks
    # behind them. 48 sums are as many as the part keeps in LUTs, so its 56 blocks suffice.
    "ecp5-25k": Config(
        weight_ports=3,
        acc_width=24,
        scratchpad_bytes=16384,
        weight_depth=4096,
        acc_depth=48,
        table_depth=256,
        program_depth=2048,
        result_depth=32,
        trace_depth=0,
    ),
    # So many lanes that every placement tried could be routed:
    # docs/decisions/0016-wires-that-need-not-be.md.
    "ecp5-85k": Config(
        lanes=3,
        weight_ports=2,
        acc_width=24,
        scratchpad_bytes=8192,
        weight_depth=8192,
        acc_depth=64,
        table_depth=256,
        program_depth=1024,
        result_depth=16,
        trace_depth=0,
    ),
}
"""Configurations that have a name: `tiny` for tests, `default` for LeNet, `wide` as the peers have
it, and for each FPGA the one that suits it and LeNet best."""


def named(name: str) -> Config:
    """The configuration of that name; an unknown one is refused with those there are."""
    if name not in NAMED:
        raise ConfigError(f"no configuration is named {name!r}; there are {', '.join(NAMED)}")
    return NAMED[name]
