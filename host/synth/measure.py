"""Cycles of a shipped model on a configuration."""

from host.errors import LeptonError
from hw.config import Config


def cycles_of(model: str, cfg: Config, batch: int) -> tuple[float | None, int, str]:
    """Cycles per image as the cost model has them, multiply-accumulates per image, and, instead of
    cycles, why the model does not run on the configuration.

    LeptonError for a model that there is not.
    """
    from host import catalog
    from host.compiler import compile
    from host.cost import predict

    source = catalog.find(model)
    try:
        program = compile(source.quantize(cfg.multiplier_width), cfg, batch=batch)
    except LeptonError as error:
        return None, 0, str(error)
    return predict(program).cycles_per_image, program.macs, ""
