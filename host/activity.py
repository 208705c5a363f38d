"""What the parts of the machine do when: kept by the cost model, drawn by the timeline."""

import numpy as np

from hw import isa


class Events:
    """Intervals of cycles, of one kind, in order of time."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        if stop > start:
            self.starts.append(start)
            self.stops.append(stop)

    def before(self, times: np.ndarray) -> np.ndarray:
        """How many cycles of these lie before each of the times."""
        starts, stops = np.array(self.starts, np.int64), np.array(self.stops, np.int64)
        lengths = np.concatenate(([0], np.cumsum(stops - starts)))
        whole = np.searchsorted(stops, times)
        inside = np.zeros(len(times), np.int64)
        part = whole < len(starts)
        inside[part] = np.maximum(0, times[part] - starts[whole[part]])
        return lengths[whole] + inside


class Activity:
    """When the parts of the machine were at work, in cycles from the start of the run."""

    def __init__(self) -> None:
        self.layers = Events()
        """Each layer instruction, from the cycle behind being taken to its last vector."""
        self.counted = [Events() for _ in isa.COUNTERS]
        """Cycles that the counters count, at the feeder; of the first, `cycles`, none."""
        self.loads = Events()
        """Words of weight memory being read; one interval for each tile."""
        self.post = Events()
        """Results being requantized, from their first column to their last."""
        self.input = Events()
        """Words of input being written into their slots."""
        self.output = Events()
        """Outputs being sent, from the header to the time stamp."""
