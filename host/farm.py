"""Work on several processes or machines, through Dask: a worker that dies loses no result."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from host.errors import LeptonError

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 10
RETRIES = 5
"""Workers that may die over one piece of work before it counts as the work's own fault."""


class Farm:
    """Workers of this machine, or those of a scheduler at ``tcp://host:port``.

    Use it as a context manager. What runs there must be a function of a module that the workers
    can import. LeptonError when Dask is missing or the scheduler does not answer.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None) -> None:
        if workers is not None and workers < 1:
            raise LeptonError(f"{workers} workers asked for; at least 1 is needed")
        self.workers, self.scheduler = workers or len(os.sched_getaffinity(0)), scheduler

    def __enter__(self) -> "Farm":
        try:
            import distributed
            from dask import config as settings
        except ImportError as error:
            raise LeptonError(
                f"several workers need Dask: pip install 'lepton[explore]' ({error})"
            ) from error
        settings.set({"distributed.scheduler.allowed-failures": RETRIES})
        self._cluster = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.scheduler is None:
                try:
                    self._cluster = distributed.LocalCluster(
                        n_workers=self.workers, threads_per_worker=1, processes=True,
                        dashboard_address=":0", silence_logs=50,
                    )  # fmt: skip
                except RuntimeError as error:
                    raise LeptonError(
                        "the worker processes did not start; in a script of your own, work only "
                        f'under `if __name__ == "__main__":` ({error})'
                    ) from error
            try:
                self._client = distributed.Client(
                    self._cluster or self.scheduler, timeout=CONNECT_S, set_as_default=False
                )
            except (OSError, TimeoutError, ValueError) as error:
                raise LeptonError(
                    f"no Dask scheduler answers at {self.scheduler}; start one with "
                    "`dask scheduler`, or leave --scheduler out to use this machine"
                ) from error
            if self.scheduler is not None:
                self.workers = self._there()
            else:
                # Ctrl-C is for this process; it ends its workers, and what they started.
                groups: Any = self._client.run(_own_group)
                self._groups = set(groups.values())
        return self

    def _end_groups(self) -> None:
        """Ends what the workers of this machine have started and left behind."""
        for group in getattr(self, "_groups", ()):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM)

    def _there(self) -> int:
        """How many workers the scheduler has; waits a while for the first."""
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            self._client.close()
            raise LeptonError(
                f"the Dask scheduler at {self.scheduler} has no workers; start some with "
                f"`dask worker {self.scheduler}`"
            ) from error
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """The index and the result of each item, as they come; raises what the function raises."""
        from distributed import CancelledError, KilledWorker, as_completed

        futures: dict[Any, int] = {
            self._client.submit(function, item, pure=False): i for i, item in enumerate(items)
        }
        for future in as_completed(list(futures), loop=self._client.loop):
            try:
                result = future.result()
            except KilledWorker as error:
                raise LeptonError(
                    "several workers died one after the other at the same piece of work; "
                    "they may have too little memory"
                ) from error
            except CancelledError as error:
                raise LeptonError(
                    "the Dask scheduler went away before the work was done"
                ) from error
            except ModuleNotFoundError as error:
                raise LeptonError(
                    f"the workers cannot import what they are to run ({error}); install this "
                    "version of Lepton where they run"
                ) from error
            yield futures.pop(future), result
            future.release()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client.close()
            if self._cluster is not None:
                self._cluster.close()
                self._end_groups()


def _own_group() -> int:
    """Makes the worker, and whatever it starts, a group of its own; its number."""
    with suppress(PermissionError):
        os.setpgid(0, 0)
    return os.getpgid(0)
