"""What watches a training: a progress bar, TensorBoard's log files, or whatever a caller adds."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.errors import LeptonError


class Monitor:
    """Is told how a training goes. This one keeps silent; subclass it to show or record."""

    def start(self, steps: int) -> None:
        """``steps`` batches are about to be learnt."""

    def resume(self, done: int) -> None:
        """``done`` of them were learnt in a run before this one."""

    def step(self, loss: float) -> None:
        """One batch was learnt, at this loss."""

    def epoch(self, number: int, loss: float) -> None:
        """Epoch ``number``, from 1, ended with this mean loss."""


class ProgressBar(Monitor):
    """Shows a bar on the terminal's standard error; nothing where that is not a terminal."""

    def __init__(self, title: str, stack: ExitStack) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._bar = stack.enter_context(bar)
        self._task = self._bar.add_task(title, total=None, loss=0.0)

    def start(self, steps: int) -> None:
        self._bar.update(self._task, total=steps)

    def resume(self, done: int) -> None:
        self._bar.update(self._task, completed=done)

    def step(self, loss: float) -> None:
        self._bar.update(self._task, advance=1, loss=loss)


class TensorBoard(Monitor):
    """Writes the loss of every step and epoch to TensorBoard event files in ``folder``."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise LeptonError(
                f"TensorBoard logs need `pip install tensorboard` ({error})"
            ) from error
        self._writer = stack.enter_context(SummaryWriter(str(folder)))
        self._steps = 0

    def resume(self, done: int) -> None:
        self._steps = done

    def step(self, loss: float) -> None:
        self._steps += 1
        self._writer.add_scalar("loss/step", loss, self._steps)

    def epoch(self, number: int, loss: float) -> None:
        self._writer.add_scalar("loss/epoch", loss, number)
