"""Cycles that a result takes through the core, from the latencies of the parts on its way."""

from hw.accumulator import Accumulators
from hw.config import Config
from hw.feeder import Feeder
from hw.lane import array_form
from hw.post import PostProcessing
from hw.results import Results
from hw.scratchpad import Scratchpad


def result_latency(cfg: Config) -> int:
    """Cycles from a vector's decision to the first in which its result may be requantized."""
    summed = (
        Feeder.LATENCY + Scratchpad.LATENCY + array_form(cfg).latency(cfg) + Accumulators.LATENCY
    )
    return summed + Results.waits(cfg) + 1


def retire(cfg: Config) -> int:
    """Cycles from reading a beat of a result to its bytes."""
    return PostProcessing.latency(cfg)
