"""The fields of a configuration that say how a core is built, not how large it is.

The search leaves them as the device's named configuration has them, and the resource model is
fitted to cores of that style only: a core that adds its products in a tree, or requantizes bit by
bit, has other parts, which no sum over sizes foretells.
"""

from dataclasses import fields

from hw.config import Config

SIZES = (
    "rows", "cols", "lanes", "weight_ports", "requantizers", "acc_width", "scratchpad_bytes",
    "weight_depth", "acc_depth", "table_depth", "program_depth", "result_depth", "packet_words",
    "trace_depth", "product_registers",
)  # fmt: skip
STYLE = tuple(f.name for f in fields(Config) if f.name not in SIZES)


def style(cfg: Config) -> tuple[int, ...]:
    """How the core is built."""
    return tuple(getattr(cfg, name) for name in STYLE)
