"""A matrix product by itself: its cycles from the first vector at the array to the last byte."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from host.activity import Activity
from host.compiler import compile
from host.cost import FED, predict
from host.driver import Counters, Session
from host.errors import LeptonError
from host.integer_reference import reference
from host.latencies import retire
from host.link_cycles import READ_TO_STAMP, read_cycles
from host.program import Program
from host.quantization import quantize
from hw.config import Config
from hw.feeder import Feeder
from hw.scratchpad import Scratchpad

TO_ARRAY = Feeder.LATENCY + Scratchpad.LATENCY
"""Cycles from the decision to send a vector to its slice at the array."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """(side^2, depth) x (depth, depth) in int8, with bias and requantization."""

    depth: int
    side: int
    convolution: bool
    """As a 1 x 1 convolution of a map of side x side, else as a Linear of a batch of side^2."""

    @property
    def name(self) -> str:
        size = f"{self.side**2} x {self.depth} x {self.depth}"
        if self.convolution:
            return f"{size}, Conv2d 1 x 1 on {self.side} x {self.side}"
        return f"{size}, Linear on {self.side**2} vectors"

    def program(self, config: Config) -> tuple[Program, np.ndarray, np.ndarray]:
        """The program, its input, and what it must give: one batch; seeded."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if self.convolution:
                layer, batch = nn.Conv2d(self.depth, self.depth, 1), 1
                inputs = torch.randn(16, self.depth, self.side, self.side)
            else:
                layer, batch = nn.Linear(self.depth, self.depth), self.side**2
                inputs = torch.randn(self.side**2, self.depth)
        width = config.multiplier_width
        graph = quantize(nn.Sequential(layer).eval(), inputs, multiplier_width=width)
        values = graph.input.quantize(inputs[:batch].numpy())
        return (
            compile(graph, config, batch=batch),
            values,
            np.asarray(reference(graph, values, dequantize=False)),
        )


def measure(product: Product, config: Config) -> dict[str, Any]:
    """Runs it on the core, compares every byte, and counts; plain values for JSON.

    `window_cycles` counts from the cycle in which the first slice is at the array to the one in
    which the last byte is at the scratchpad, both included. It comes from the core's counters and
    time stamp. The cost model has both cycles, too; LeptonError where the two are not the same, or
    where the core does not count stalls.
    """
    if not config.stall_counters:
        raise LeptonError("a product is measured by the stalls; this core needs stall_counters=1")
    program, values, expected = product.program(config)
    with Session(program) as session:
        got = session.run(values, dequantize=False)
        counters = session.counters
    assert counters is not None
    window, model = _window(program, counters), model_window(program)
    if window != model:
        raise LeptonError(
            f"{product.name}: {window} cycles by the counters, {model} by the cost model"
        )
    return {
        "name": product.name,
        "fields": dict(config.items()),
        "window_cycles": window,
        "fed": counters.total["fed"],
        "mismatched_bytes": int((got.reshape(-1) != expected.reshape(-1)).sum()),
        "checked_bytes": expected.size,
    }


def model_window(program: Program) -> int:
    """The same cycles, of the cost model."""
    activity = Activity()
    predict(program, 1, activity)
    first = activity.counted[FED].starts[0] + TO_ARRAY
    value = program.config.requant_cycles
    return activity.post.stops[-1] - value + retire(program.config) - first + 1


def _window(program: Program, counters: Counters) -> int:
    """From counters and the time stamp, which are both 0 in cycle 1 of the run.

    The first vector went behind the waits for its weights and its input; later ones waited for
    neither. The output was read from 3 cycles behind the last byte on, a word every so often.
    """
    (layer,) = counters.layers
    taken = counters.cycles - layer.counters["cycles"] + 1
    first = taken + 1 + layer.counters["stall_weights"] + layer.counters["stall_input"]
    (output,) = program.outputs
    words = -(-output.count * int(np.prod(output.shape)) // 4)
    reading = (words - 1) * read_cycles(program.config)
    last = int(counters.stamps[0]) + 1 - READ_TO_STAMP - reading - 3
    return last - (first + TO_ARRAY) + 1
