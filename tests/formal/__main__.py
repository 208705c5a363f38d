"""``make formal``: proves everything, and writes what was proven into benchmarks/formal.json."""

import argparse
import sys

from tests.campaigns import records
from tests.formal.prove import ProofError, prove
from tests.formal.tasks import TASKS


def main() -> int:
    """The number of properties that do not hold, or were not decided in time."""
    parser = argparse.ArgumentParser(prog="python -m tests.formal", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of the proofs wanted")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for each")
    wanted = parser.parse_args()
    rows, failed = [], 0
    for task in TASKS:
        if wanted.names and not any(name in task.name for name in wanted.names):
            continue
        row = {"name": task.name, "claim": task.claim, "mode": task.mode, "depth": task.depth}
        try:
            row["seconds"] = round(prove(task, wanted.timeout), 1)
        except ProofError as error:
            failed += 1
            row["seconds"] = None
            print(error, file=sys.stderr)
        print(
            f"{'proven' if row['seconds'] else 'FAILED'}  {row['seconds']} s  {task.name}",
            flush=True,
        )
        rows.append(row)
    if not wanted.names:
        records.write("formal", "make formal", {"tasks": rows})
    return failed


if __name__ == "__main__":
    sys.exit(main())
