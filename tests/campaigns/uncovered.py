"""Why points of the core are not covered by the simulations of the whole core."""

import re

REASONS: tuple[tuple[str, str, str, str], ...] = ()
"""Component, kind and point, as regular expressions that match all of it, and the reason."""


def reason(component: str, kind: str, point: str) -> str:
    """Why a point is not reached; an empty text when nobody has said it."""
    for wanted, of_kind, what, why in REASONS:
        if of_kind == kind and re.fullmatch(wanted, component) and re.fullmatch(what, point):
            return why
    return ""
