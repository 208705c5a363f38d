"""Testbenches that cannot hang, streams that stall, signals that are played and recorded."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator

PERIOD = 1e-6

STALLS = ("none", "every third", "random")
"""Patterns of `pauses`."""

Testbench = Callable[[Any], Any]


def simulate(
    dut: Any, *testbenches: Testbench, cycles: int = 2_000, background: Iterable[Testbench] = ()
) -> None:
    """Runs every testbench to its end; fails rather than hangs after ``cycles``."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sim = Simulator(_clocked(dut))
        sim.add_clock(PERIOD)
        running = {testbench: testbench.__name__ for testbench in testbenches}

        async def watchdog(ctx: Any) -> None:
            await ctx.delay(cycles * PERIOD)
            raise AssertionError(f"still running after {cycles} cycles: {list(running.values())}")

        for testbench in testbenches:
            sim.add_testbench(_tracked(testbench, running))
        for testbench in background:
            sim.add_testbench(testbench, background=True)
        sim.add_testbench(watchdog, background=True)
        sim.run()


def _clocked(dut: Any) -> Module:
    """The component in a module that has a clock even if the component has no register."""
    m = Module()
    m.submodules.dut = dut
    m.d.sync += Signal(name="clocked").eq(1)
    return m


def _tracked(testbench: Testbench, running: dict[Testbench, str]) -> Testbench:
    async def run(ctx: Any) -> None:
        await testbench(ctx)
        del running[testbench]

    return run


def play(
    dut: Any, inputs: Iterable[tuple[Any, Sequence[Any]]], outputs: Sequence[Any], cycles: int
) -> list[tuple[Any, ...]]:
    """Sets element ``t`` of each input's values in cycle ``t``, 0 behind them.

    Element ``t`` of what is returned are the outputs that are seen in cycle ``t``.
    """
    seen = []
    inputs = [(signal, list(values)) for signal, values in inputs]
    bits = [output.as_value() if isinstance(output, data.View) else output for output in outputs]

    async def testbench(ctx: Any) -> None:
        # One trigger for all cycles: to make it takes longer than many a cycle.
        async with aclosing(aiter(ctx.tick().sample(*bits))) as ticks:
            for t in range(cycles):
                for signal, values in inputs:
                    if t < len(values):
                        if t == 0 or values[t] is not values[t - 1]:
                            ctx.set(signal, values[t])
                    elif t == len(values):
                        ctx.set(signal.as_value() if isinstance(signal, data.View) else signal, 0)
                _, _, *values = await anext(ticks)
                seen.append(values)

    simulate(dut, testbench, cycles=cycles + 2)
    shapes = [o.shape() if isinstance(o, data.View) else None for o in outputs]
    return [
        tuple(v if s is None else plain(s.from_bits(v)) for v, s in zip(row, shapes, strict=True))
        for row in seen
    ]


def plain(value: Any) -> Any:
    """Integers, lists and dictionaries of a constant with a layout."""
    if not isinstance(value, data.Const):
        return value
    layout = value.shape()
    if isinstance(layout, data.ArrayLayout):
        return [plain(value[i]) for i in range(layout.length)]
    return {name: plain(value[name]) for name, _ in layout}


def pauses(pattern: str, seed: int = 0) -> Iterator[bool]:
    """For each cycle whether one side of a stream rests."""
    rng = np.random.default_rng(seed)
    if pattern == "none":
        return (False for _ in count())
    if pattern == "every third":
        return (i % 3 == 2 for i in count())
    return (bool(rng.random() < 0.5) for _ in count())


async def put(ctx: Any, stream: Any, payloads: Iterable[Any], pause: Iterator[bool]) -> None:
    """Sends payloads through a stream."""
    for payload in payloads:
        while next(pause):
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        await _until(ctx, stream.ready)
        ctx.set(stream.valid, 0)


async def get(ctx: Any, stream: Any, number: int, pause: Iterator[bool]) -> list[Any]:
    """Receives that many payloads from a stream."""
    came = []
    for _ in range(number):
        while next(pause):
            await ctx.tick()
        ctx.set(stream.ready, 1)
        payload = await _until(ctx, stream.valid, stream.payload)
        ctx.set(stream.ready, 0)
        came.append(plain(payload))
    return came


async def _until(ctx: Any, condition: Any, value: Any = 0) -> Any:
    """The value in the first cycle in which the condition holds.

    Amaranth's own `until` complains when it is waited for in the background as the simulation ends.
    """
    while True:
        _, _, holds, result = await ctx.tick().sample(condition, value)
        if holds:
            return result


def lawful(stream: Any) -> Testbench:
    """A background testbench: what a stream offers, it offers until it is taken."""

    async def monitor(ctx: Any) -> None:
        offered = None
        sampled = ctx.tick().sample(stream.valid, stream.ready, stream.payload)
        async for _, _, valid, ready, payload in sampled:
            if offered is not None:
                assert valid, f"took {offered} back"
                assert plain(payload) == offered, f"turned {offered} into {plain(payload)}"
            offered = plain(payload) if valid and not ready else None

    return monitor
