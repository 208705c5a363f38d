"""What the tables are made of: Markdown, and the texts that stand in the code."""

import ast
import inspect
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def table(head: Iterable[str], rows: Iterable[Iterable[object]], right: str = "") -> str:
    """A Markdown table; column ``i`` is aligned right where ``right[i]`` is ``r``."""
    names = list(head)
    rules = ["---:" if right[i : i + 1] == "r" else "---" for i in range(len(names))]
    body = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rules, *body])


def described(module: ModuleType, owner: str | None = None) -> dict[str, str]:
    """What the string behind each assignment says, of a module or of one of its classes."""
    body: list[ast.stmt] = ast.parse(inspect.getsource(module)).body
    if owner:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == owner)
    found = {}
    for statement, after in pairwise(body):
        if isinstance(statement, ast.Assign):
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign):
            target = statement.target
        else:
            continue
        if not isinstance(target, ast.Name) or not isinstance(after, ast.Expr):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[target.id] = " ".join(after.value.value.replace("``", "`").split())
    return found
