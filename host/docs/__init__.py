"""Keeps the tables of README.md and docs/ equal to what they describe: code and measurements.

A table stands between the lines ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
``python -m host.docs`` writes all of them; with ``--check`` it only says which are stale, and exits
with 1 when one is.
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from host.docs import campaigns, compression, evidence, hardware, measured
from host.docs.markdown import ROOT

BEGIN = "<!-- begin {} -->"
END = "<!-- end {} -->"

TABLES: dict[str, Callable[[], str]] = {
    **hardware.TABLES,
    **measured.TABLES,
    **compression.TABLES,
    **campaigns.TABLES,
    **evidence.TABLES,
}
"""What makes each table, by the name that stands in the page."""


def pages(root: Path = ROOT) -> list[Path]:
    """The Markdown files of the project."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def refreshed(text: str) -> str:
    """A page with all its tables made anew. ValueError for a table that nobody makes, or no end."""
    pattern = re.compile(r"<!-- begin (\S+) -->\n(.*?)<!-- end (\S+) -->", re.DOTALL)

    def replace(found: re.Match[str]) -> str:
        name, _, end = found.groups()
        if name not in TABLES or end != name:
            raise ValueError(f"table {name!r} ends as {end!r}; there are {', '.join(TABLES)}")
        return f"{BEGIN.format(name)}\n{TABLES[name]()}\n{END.format(name)}"

    return pattern.sub(replace, text)


def stale(root: Path = ROOT) -> dict[Path, str]:
    """Pages that are not as they should be, and their text as it should be."""
    wanted = {page: refreshed(page.read_text()) for page in pages(root)}
    return {page: text for page, text in wanted.items() if text != page.read_text()}


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks all tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m host.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    check = parser.parse_args(arguments).check
    found = stale()
    outcome = "is stale: run python -m host.docs" if check else "written"
    for page, text in found.items():
        print(f"{page.relative_to(ROOT)} {outcome}")
        if not check:
            page.write_text(text)
    return int(check and bool(found))
