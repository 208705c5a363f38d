"""What `lepton synth --json` and benchmarks/synth.json hold."""

from host.synth.flow import Synthesis
from host.synth.placement import Placement
from hw.config import Config


def record(
    cfg: Config,
    scope: str,
    synthesis: Synthesis,
    placement: Placement | None,
    cycles: float | None,
    macs: int,
) -> dict:
    """Figures of a build. Throughput is at the median frequency; without cycles there is none."""
    values: dict = {
        "device": synthesis.device.name,
        "scope": str(scope),
        "config": dict(cfg.items()),
        **synthesis.usage.record(),
        "available": synthesis.device.available,
        "fits": not synthesis.misfits(),
        "blocks": {name: block.record() for name, block in synthesis.blocks.items()},
        "sites": None,
        "fmax_mhz": None,
        "unrouted_seeds": [],
        "critical_path": None,
        "cycles_per_image": cycles,
        "images_per_s": None,
        "mmacs_per_s": None,
        "bitstream": None,
    }
    if placement is None:
        return values
    seeds = placement.frequencies
    values["sites"] = {
        name: {"used": used, "available": there}
        for name, (used, there) in placement.utilization.items()
        if used
    }
    values["fmax_mhz"] = {
        "min": min(seeds),
        "median": placement.median,
        "max": max(seeds),
        "seeds": len(seeds),
    }
    values["unrouted_seeds"] = list(placement.unrouted)
    values["critical_path"] = placement.critical_path.record()
    values["bitstream"] = str(placement.bitstream)
    if cycles is not None:
        values["images_per_s"] = round(placement.median * 1e6 / cycles, 1)
        values["mmacs_per_s"] = round(placement.median * macs / cycles, 1)
    return values
