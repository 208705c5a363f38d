"""The ways to run a network that the compiler tries, one after the other until one fits."""

from collections.abc import Callable, Iterator

from host.compiler.folding import foldings
from host.compiler.jobs import Tiling
from host.compiler.steps import Step

Found = list[tuple[Step, Tiling]]


def choices(
    count: int, fit: Callable[[int, bool], tuple[Step, Tiling]], taper: Callable[[Found], Found]
) -> Iterator[Found]:
    """All `count` steps as they would run, best first, for memories that may not hold the best.

    `fit` is `folding.fitted` of a step by its number, folding allowed or not; `taper` is
    `tapering.tapered`, whose jobs take more words of program.
    """
    for found in foldings(count, fit):
        cut = taper(found)
        yield cut
        if any(a.jobs != b.jobs for (_, a), (_, b) in zip(cut, found, strict=True)):
            yield found
