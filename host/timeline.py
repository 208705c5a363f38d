"""A run as a timeline for https://ui.perfetto.dev, in the Chrome trace-event format.

`ts` and `dur` are cycles of the core, from the start of the run; viewers label them microseconds.
What is drawn is the activity that the cost model keeps (`host.activity`), whose sums are the
counters of the hardware.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from host.activity import Activity, Events
from host.program import Program
from hw import isa

TRACKS = ("layers", "array", "weight loads", "post-processing", "link in", "link out")
"""From the top; the place in here, from 1, is the `tid`."""

WAITS = {
    "stall_weights": "wait: weights",
    "stall_input": "wait: input",
    "stall_dependency": "wait: earlier layer",
    "stall_post": "wait: room for results",
    "stall_output": "output word read",
    "stall_program": "wait: program",
}
"""Names on the array's track, by counter."""

Event = dict[str, Any]


def trace(program: Program, activity: Activity, title: str) -> dict[str, Any]:
    """The JSON object that Perfetto opens, of a whole run."""
    names = [program.layers[i].name for i in program.instruction_layers]
    starts = activity.layers.starts

    def layer(cycle: int) -> str:
        """Whose instruction the feeder works on, or worked on last."""
        return names[max(0, bisect_right(starts, cycle) - 1) % len(names)]

    events = [{"name": "process_name", "ph": "M", "pid": 1, "args": {"name": title}}]
    for tid, track in enumerate(TRACKS, 1):
        place = {"ph": "M", "pid": 1, "tid": tid}
        events.append({"name": "thread_name", **place, "args": {"name": track}})
        events.append({"name": "thread_sort_index", **place, "args": {"sort_index": tid}})
    for i, (start, stop) in enumerate(_intervals(activity.layers)):
        batch, instruction = divmod(i, len(names))
        events.append(
            _event("layers", names[instruction], start, stop, batch=batch, instruction=instruction)
        )
    for counter, kind in zip(isa.COUNTERS, activity.counted, strict=True):
        for start, stop in _joined(kind, starts if counter == "fed" else []):
            name = layer(start) if counter == "fed" else WAITS[counter]
            events.append(_event("array", name, start, stop, counter=counter, layer=layer(start)))
    events += [_event("weight loads", "load", *i) for i in _intervals(activity.loads)]
    events += [_event("post-processing", "requantize", *i) for i in _joined(activity.post)]
    events += [_event("link in", "input words", *i) for i in _joined(activity.input)]
    events += [_event("link out", "output", *i) for i in _intervals(activity.output)]
    return {
        "traceEvents": events,
        "otherData": {"unit": "ts and dur are cycles, not microseconds", "title": title},
    }


def _event(track: str, name: str, start: int, stop: int, **arguments: int | str) -> Event:
    tid = TRACKS.index(track) + 1
    event = {"name": name, "ph": "X", "pid": 1, "tid": tid, "ts": start, "dur": stop - start}
    return event | ({"args": arguments} if arguments else {})


def _intervals(events: Events) -> Iterator[tuple[int, int]]:
    return zip(events.starts, events.stops, strict=True)


def _joined(events: Events, apart: list[int] | tuple[()] = ()) -> Iterator[tuple[int, int]]:
    """Intervals, those without a gap as one, except where a cycle of `apart` begins."""
    borders = set(apart)
    begin = end = None
    for start, stop in _intervals(events):
        if begin is not None and start == end and start not in borders:
            end = stop
            continue
        if begin is not None and end is not None:
            yield begin, end
        begin, end = start, stop
    if begin is not None and end is not None:
        yield begin, end
