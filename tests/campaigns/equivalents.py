"""Why mutants that no test catches change nothing that anybody can see."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.campaigns.mutants import Mutant

ARGUMENTS: tuple[tuple[str, str], ...] = ()
"""What a mutant's description matches, and the argument."""


def argument(mutant: "Mutant") -> str:
    """Why a mutant is equivalent; an empty text when nobody has argued it."""
    for pattern, reason in ARGUMENTS:
        if re.search(pattern, mutant.where):
            return reason
    return ""
