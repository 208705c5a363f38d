"""From a PyTorch module to predictions made by Lepton: quantize, compile, run, compare.

What is here loads when it is first used: PyTorch takes seconds, and `lepton --help` need not wait.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from host.compiler import compile as compile
    from host.driver import Session as Session
    from host.errors import LeptonError as LeptonError
    from host.integer_reference import reference as reference
    from host.program import Program as Program
    from host.quantization import quantize as quantize

# No module may be called like one of these: importing it would put it in their place.
_HOMES = {
    "LeptonError": "host.errors",
    "Program": "host.program",
    "Session": "host.driver",
    "compile": "host.compiler",
    "quantize": "host.quantization",
    "reference": "host.integer_reference",
}

__all__ = ["LeptonError", "Program", "Session", "compile", "quantize", "reference"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'host' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
