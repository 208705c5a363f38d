"""All proofs."""

from tests.formal import buffers, control, feeder, numerics, serial_numerics, streams, uart
from tests.formal.prove import Task

TASKS: list[Task] = [
    *streams.TASKS, *uart.TASKS, *buffers.TASKS, *numerics.TASKS,
    *serial_numerics.TASKS, *feeder.TASKS, *control.TASKS,
]  # fmt: skip

assert len({task.name for task in TASKS}) == len(TASKS)
