"""What a kept search must agree in with the one that goes on with it."""

import hashlib
from pathlib import Path

from host import compiler
from host.explore import cycles, sketch
from host.qgraph import QGraph
from host.synth import devices, flow, netlist, placement
from sim.cache import digest


def compiler_hash() -> str:
    """Of all that cycles come from, which a kept search has of each point."""
    host = Path(compiler.__file__).parents[1]
    sources = [*sorted((host / "compiler").glob("*.py")), host / "cost.py", host / "latencies.py"]
    sources += [Path(cycles.__file__), cycles.SOURCE, Path(sketch.__file__)]
    return digest(*(path.read_text() for path in sources))


def synthesis_hash() -> str:
    """Of all that makes a netlist, counts and places it, whose results a kept search has."""
    sources = (flow, devices, netlist, placement)
    return digest(flow.FINISH, *(Path(str(source.__file__)).read_text() for source in sources))


def fingerprint(graph: QGraph) -> str:
    """Names the integers of a network."""
    total = hashlib.sha256(repr(graph.input_shape).encode())
    for layer in graph.layers:
        total.update(f"{type(layer).__name__} {layer.name}".encode())
        for name, value in sorted(vars(layer).items()):
            content = value.tobytes() if hasattr(value, "tobytes") else repr(value).encode()
            total.update(name.encode() + content)
    return total.hexdigest()[:16]
