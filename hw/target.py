"""What an FPGA has that a part of the core may be made of, beyond what every synthesis infers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Target:
    """An FPGA as `elaborate` sees it; pass one as the platform to get its own blocks.

    Any value and every latency is the same on all of them; only what it is made of differs.
    """

    family: str
    """``ice40`` or ``ecp5``."""
    multipliers: int
    """Multiplier blocks: `SB_MAC16`, of two products each, or `MULT18X18D`."""
    single_port_blocks: int = 0
    """Blocks of 16,384 x 16 bits with one port (`SB_SPRAM256KA`)."""


TARGETS: dict[str, Target] = {
    "iCE40UP5K": Target(family="ice40", multipliers=8, single_port_blocks=4),
    "LFE5U-25F": Target(family="ecp5", multipliers=28),
    "LFE5U-45F": Target(family="ecp5", multipliers=72),
    "LFE5U-85F": Target(family="ecp5", multipliers=156),
}
"""By the name that Amaranth's boards give the part."""

PRODUCTS_PER_BLOCK = {"ice40": 2, "ecp5": 1}
"""Products of int8 that one multiplier block makes."""

REQUANT_BLOCKS = {"ice40": 0, "ecp5": 2}
"""Blocks that Yosys takes for the two half products of a requantizer."""


def target(platform: object) -> Target | None:
    """The part that a platform is for; None, and with it the generic forms, for all others."""
    if isinstance(platform, Target):
        return platform
    return TARGETS.get(str(getattr(platform, "device", None)))


def multiplier_blocks(platform: object, requantizers: int, lanes: int) -> int:
    """Blocks that the array of one of so many lanes may have; requantizers have theirs first."""
    part = target(platform)
    if part is None:
        return 0
    return max(0, part.multipliers // lanes - REQUANT_BLOCKS[part.family] * requantizers)
