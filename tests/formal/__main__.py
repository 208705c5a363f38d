"""``make formal``: proves everything, each proof once more with a bug in the gateware that it must
find, and writes what was proven into benchmarks/formal.json."""

import argparse
import sys
from typing import Any

from tests.campaigns import records
from tests.formal.prove import ProofError, prove, spoil
from tests.formal.tasks import TASKS


def main() -> int:
    """The number of properties that do not hold or were not decided in time, and of missed bugs."""
    parser = argparse.ArgumentParser(prog="python -m tests.formal", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of the proofs wanted")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each")
    wanted = parser.parse_args()
    # Those that are not wanted stay as they were found before.
    rows = {row["name"]: row for row in records.read("formal").get("tasks", [])}
    failed = 0
    for task in TASKS:
        if wanted.names and not any(name in task.name for name in wanted.names):
            continue
        row: dict[str, Any] = {"name": task.name, "claim": task.claim, "horizon": task.horizon}
        for key, check in (("seconds", prove), ("bug_seconds", spoil)):
            try:
                row[key] = round(check(task, wanted.timeout), 1)
            except ProofError as error:
                failed += 1
                row[key] = None
                print(error, file=sys.stderr)
        said = "proven" if row["seconds"] else "FAILED"
        bug = "found" if row["bug_seconds"] else "MISSED"
        print(
            f"{said} {row['seconds']} s, bug {bug} {row['bug_seconds']} s: {task.name}", flush=True
        )
        rows[task.name] = row
        known = [rows[one.name] for one in TASKS if one.name in rows]
        records.write("formal", "make formal", {"proofs": len(TASKS), "tasks": known})
    return failed


if __name__ == "__main__":
    sys.exit(main())
