"""Options that several commands have, and what they mean."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from host.errors import LeptonError
from hw.config import NAMED, Config, named

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="lenet5-mnist, lenet5-mnist-small, lenet5-fashion, lenet-cifar10, lenet-cifar10-half, "
        "or a folder of `lepton compress`.",
    ),
]
ConfigName = Annotated[
    str, typer.Option("--config", metavar="NAME", help=f"Configuration: {', '.join(NAMED)}.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field of the configuration (repeatable); `lepton configs` lists them.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch", metavar="B", min=1, help="Images run together; one for each lane if not set."
    ),
]
BatchOfLanes = Annotated[
    int, typer.Option("--batch", metavar="B", min=1, help="Images run together, of all lanes.")
]
"""Where the number of lanes is not known before."""
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the dataset's official files, else LEPTON_DATA, Debian's or a download.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Use the workers of this Dask scheduler."),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="PATH", help="Write the result as JSON; - is standard output."),
]

STDOUT = Path("-")


def configuration(name: str, changes: list[str] | None) -> Config:
    """The named configuration with the fields that --set changes."""
    config = named(name)
    fields = {}
    for change in changes or ():
        field, equals, value = change.partition("=")
        if not equals:
            raise LeptonError(f"--set takes FIELD=VALUE, as in --set rows=8, not {change!r}")
        try:
            fields[field.strip()] = int(value)
        except ValueError:
            # An unknown field is the likelier mistake, and its refusal lists those there are.
            config.with_fields({field.strip(): getattr(config, field.strip(), 0)})
            raise LeptonError(f"--set {field}: {value!r} is not an integer") from None
    return config.with_fields(fields)


def fixed_fields(changes: list[str] | None) -> dict[str, int]:
    """Fields that --set takes out of the search; two values for one contradict each other."""
    plain = dict(configuration("default", None).items())
    fixed: dict[str, int] = {}
    for change in changes or ():
        name = change.partition("=")[0].strip()
        value = dict(configuration("default", [change]).items())
        if name in fixed and fixed[name] != value[name]:
            raise LeptonError(
                f"--set {name}={fixed[name]} and --set {change} contradict each other; a field has "
                "one value"
            )
        assert name in plain
        fixed[name] = value[name]
    return fixed


def check_writable(path: Path | None, option: str, *, or_stdout: bool = False) -> None:
    """Refuses, before long work, a path at which no file can be written."""
    if path is None or (path == STDOUT and or_stdout):
        return
    if path == STDOUT:
        raise LeptonError(f"{option}: this is not written to standard output; name a file")
    if path.exists() and not path.is_file():
        # Such as /dev/null, which a rename would replace.
        raise LeptonError(f"{option}: {path} is not a regular file; name one that is, or a new one")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise LeptonError(
            f"{option}: {path} cannot be written: {path.parent}: {error.strerror}"
        ) from error
