"""Real rescaling factors as the integers that the requantizer multiplies and shifts by."""

import numpy as np
import numpy.typing as npt

from host.errors import LeptonError
from host.qgraph import MAX_SHIFT


def encode_factor(factor: npt.ArrayLike, width: int) -> tuple[np.ndarray, np.ndarray]:
    """``(multiplier, shift)``, int64 and of one shape, with ``factor ~ multiplier * 2**-shift``.

    The shift is the largest up to `MAX_SHIFT` for which ``round_half_even(factor * 2**shift)``
    is below ``2**width`` (numerics, *Requantization*). Factors that no pair encodes are refused.
    """
    f = np.atleast_1d(np.asarray(factor, np.float64))
    if not (np.isfinite(f).all() and (f > 0).all()):
        raise LeptonError(f"a rescaling factor is {f.min()}; it must be positive and finite")
    # f = mantissa * 2**exponent with a mantissa in [1/2, 1): this shift makes exactly `width` bits.
    shift = np.minimum(width - np.frexp(f)[1], MAX_SHIFT)
    # ldexp is exact and so is rint: the only rounding is the one that the contract names.
    carries = np.rint(np.ldexp(f, shift)) >= 2**width
    shift = (shift - carries).astype(np.int64)
    multiplier = np.rint(np.ldexp(f, shift)).astype(np.int64)
    if (shift < 0).any():
        raise LeptonError(f"a rescaling factor of {f.max():.6g} does not fit in {width} bits")
    if (multiplier < 1).any():
        raise LeptonError(
            f"a rescaling factor of {f.min():.6g} is too small: it needs a shift above {MAX_SHIFT}"
        )
    return multiplier, shift
