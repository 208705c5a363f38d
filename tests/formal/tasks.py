"""All proofs."""

from tests.formal import control, numerics, streams
from tests.formal.prove import Task

TASKS: list[Task] = [*streams.TASKS, *numerics.TASKS, *control.TASKS]

assert len({task.name for task in TASKS}) == len(TASKS)
