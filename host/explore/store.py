"""Where a search is kept: Optuna studies in one SQLite file, which nothing ever overwrites."""

import fcntl
import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from host.errors import LeptonError

VERSION = 1
"""Of what the studies hold."""
IDENTITY = "lepton"
"""The attribute of the first study that says what the search is of."""
SHAPES, SYNTHESES, PLACEMENTS = "shapes", "syntheses", "placements"
DIRECTIONS: dict[str, list[Any]] = {
    SHAPES: ["maximize", "minimize", "minimize"],
    SYNTHESES: ["minimize"],
    PLACEMENTS: ["maximize"],
}
"""Images per second, milliseconds, LUTs; LUTs that Yosys counted; megahertz of a seed."""


class Store:
    """The studies of one search. Use it as a context manager, by one process at a time.

    `identity` says what the search is of: a file of another one is refused, and so is one that is
    damaged, of another version, or no store at all; none of these is changed.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, {"version": VERSION, **identity}

    def __enter__(self) -> "Store":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._lock = self.path.with_name(f"{self.path.name}.lock").open("w")
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LeptonError(
                    f"another search is at work on {self.path}; wait for it, or name another --out"
                ) from error
            if not self.path.exists():
                self._create()
            self._check()
            self._open()
        except BaseException:
            self._lock.close()
            raise
        return self

    def _create(self) -> None:
        """Makes the whole file beside its place: one that an interrupt leaves is never found."""
        import optuna

        beside = self.path.with_name(f"{self.path.name}.new")
        beside.unlink(missing_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{beside}")
        for name, directions in DIRECTIONS.items():
            optuna.create_study(storage=storage, study_name=name, directions=directions)
        study = optuna.load_study(storage=storage, study_name=SHAPES)
        study.set_user_attr(IDENTITY, self.identity)
        storage.remove_session()
        storage.engine.dispose()
        beside.rename(self.path)

    def _check(self) -> None:
        """Reads, without writing, whether the file is whole and of this search."""
        try:
            with closing(
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            ) as db:
                said = db.execute("PRAGMA quick_check").fetchone()[0]
                if said != "ok":
                    raise sqlite3.DatabaseError(said)
                rows = db.execute(
                    "SELECT value_json FROM study_user_attributes WHERE key = ?", (IDENTITY,)
                ).fetchall()
                found = json.loads(rows[0][0]) if rows else None
        except (sqlite3.Error, json.JSONDecodeError) as error:
            raise LeptonError(
                f"{self.path} is damaged or no search of `lepton explore` ({error}); it is left as "
                "it is: name another --out"
            ) from error
        if not isinstance(found, dict):
            raise LeptonError(
                f"{self.path} is no search of `lepton explore`; it is left as it is: name another "
                "--out"
            )
        differing = [name for name, value in self.identity.items() if found.get(name) != value]
        if differing:
            name = differing[0]
            raise LeptonError(
                f"{self.path} is a search of another {name.replace('_', ' ')} "
                f"({_short(found.get(name))}, not {_short(self.identity[name])}); it is left as it "
                "is: name another --out"
            )

    def _open(self) -> None:
        import optuna
        from sqlalchemy import event

        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{self.path}")
            # A kill loses nothing so, only a crash of the machine the last trials.
            event.listen(storage.engine, "connect", _fast)
            storage.engine.dispose()
            self._storage = storage
            self.studies = {
                name: optuna.load_study(storage=storage, study_name=name) for name in DIRECTIONS
            }
        except Exception as error:  # of SQLAlchemy, Alembic or Optuna, each with classes of its own
            raise LeptonError(
                f"{self.path} is of another version of Optuna or damaged ({_line(error)}); it is "
                "left as it is: name another --out"
            ) from error

    def add(
        self, study: str, values: list[float], attributes: dict[str, Any], params: dict[str, Any],
        distributions: dict[str, Any],
    ) -> None:  # fmt: skip
        """Keeps a finished trial."""
        import optuna

        self.studies[study].add_trial(
            optuna.trial.create_trial(
                values=values, user_attrs=attributes, params=params, distributions=distributions
            )
        )

    def keep(self, study: str, value: float, attributes: dict[str, Any]) -> None:
        """Keeps a result that no sampler drew."""
        self.add(study, [value], attributes, {}, {})

    def trials(self, study: str) -> list[Any]:
        """What is kept, in order."""
        return self.studies[study].get_trials(deepcopy=False)

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._storage.remove_session()
            self._storage.engine.dispose()
        self._lock.close()


def _fast(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
