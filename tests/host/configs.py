"""Random legal configurations, for tests that demand equality on whatever a person may choose."""

from random import Random

from hw.config import LINK_WIDTHS, Config
from hw.errors import ConfigError


def random_config(seed: int) -> Config:
    """A small core in which anything may be odd; the same one for a seed, always.

    Memories are drawn small enough that some networks do not fit, and never so large that a
    simulator takes long to build.
    """
    random = Random(f"configuration {seed}")
    while True:
        rows, cols = random.randint(1, 9), random.randint(1, 7)
        fields = {
            "rows": rows,
            "cols": cols,
            "lanes": random.choice((1, 1, 1, 2, 3)),
            "weight_ports": random.choice((1, random.randint(1, rows), rows)),
            "requantizers": random.choice((1, random.randint(1, cols), cols)),
            "acc_width": random.choice((24, 32, 32, random.randint(20, 40))),
            "multiplier_width": random.choice((16, 16, random.randint(10, 24))),
            "scratchpad_bytes": 1 << random.randint(12, 16),
            "weight_depth": random.randint(4_000, 1 << 15),
            "acc_depth": random.choice((random.randint(16, 64), 256, 500)),
            "table_depth": random.randint(200, 600),
            "program_depth": random.randint(1_000, 4_096),
            "result_depth": 1 << random.randint(2, 6),
            "packet_words": random.choice((16, random.randint(16, 64), 255, 1000)),
            "trace_depth": random.choice((0, 1, 17, 64)),
            "link_width": random.choice(LINK_WIDTHS),
            "product_registers": random.randint(1, 3),
            "adder_tree": random.randint(0, 1),
            "serial_requant": random.choice((0, 0, 1)),
            "prefetch": random.randint(0, 1),
            "stall_counters": random.choice((0, 1, 1)),
        }
        try:
            return Config(**fields)
        except ConfigError:
            continue
