"""How a command shows that it is at work: bars on a terminal, a line for each stage elsewhere."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from host.measurement import Watcher


class Stages(Watcher):
    """Shows the stages of a measurement on standard error. Use it as a context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            redirect_stdout=False,
        )
        self._task: TaskID | None = None
        self._title, self._total = "", None

    def begin(self, stage: str, total: int | None = None) -> None:
        self._finish()
        self._title, self._total = stage, total
        self._task = self._bars.add_task(stage, total=total, count="")
        if self._bars.disable:
            self._bars.console.print(f"{stage} ...", highlight=False)

    def advance(self, done: int) -> None:
        if self._task is not None:
            count = f"{done:,} of {self._total:,}" if self._total else ""
            self._bars.update(self._task, completed=done, count=count)

    def note(self, text: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, description=f"{self._title}: {text}")

    def _finish(self) -> None:
        if self._task is not None:
            total = self._total or 1
            self.advance(total)
            self._bars.update(self._task, description=self._title, total=total, completed=total)

    def __enter__(self) -> "Stages":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        self._bars.stop()
