"""Tables of docs/verification.md: the last results of the campaigns that ``make test`` is not."""

import json
from collections.abc import Callable
from typing import Any

from host.docs.markdown import ROOT, table


def last(name: str) -> dict[str, Any] | None:
    """What a campaign wrote into benchmarks/; None where it has not run."""
    path = ROOT / "benchmarks" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def missing(target: str) -> str:
    return f"Not run yet: `make {target}` makes this table."


def ran(record: dict[str, Any]) -> str:
    """The sentence in front of a result."""
    seconds = f", {record['seconds']:,} s" if "seconds" in record else ""
    return f"Last run: `{record['command']}`, {record['date']}{seconds}."


def _fuzz() -> str:
    record = last("fuzz")
    if record is None:
        return missing("fuzz")
    said = (
        f"{ran(record)} {record['packets']:,} packets on links of "
        f"{', '.join(map(str, record['link_widths']))} bits under {len(record['stalls'])} patterns "
        f"of stalls: {record['different']} differences. Replies that were compared:"
    )
    rows = ((f"`{name}`", f"{count:,}") for name, count in record["replies"].items())
    return f"{said}\n\n{table(('reply, or cause of an error', 'times'), rows, ' r')}"


SOAK = {
    "cores": "random cores",
    "networks": "random networks",
    "refused": "networks that did not fit, and were refused",
    "resets": "runs cut off by a reset",
    "images": "images",
    "bytes": "bytes compared",
    "packets": "packets, both ways",
    "cycles": "cycles of the runs",
    "different": "differences",
}


def _soak() -> str:
    record = last("soak")
    if record is None:
        return missing("soak")
    rows = ((text, f"{record.get(name, 0):,}") for name, text in SOAK.items())
    return f"{ran(record)}\n\n{table(('what', 'count'), rows, ' r')}"


def _netlists() -> str:
    record = last("netlists")
    if record is None:
        return missing("netlists")
    head = (
        "core", "part", "LUTs", "DSPs", "model", "images", "bytes compared", "different", "cycles",
        "predicted",
    )  # fmt: skip
    names = ("images", "bytes", "different", "cycles", "predicted_cycles")
    rows = (
        (f"`{r['config']}`", r["device"], f"{r['luts']:,}", r["dsps"], r["model"],
         *(f"{r[name]:,}" for name in names))
        for r in record["cores"]
    )  # fmt: skip
    # Rows are kept from run to run; a row has all that its command takes.
    command = "python -m tests.campaigns.netlists --only CORE --images IMAGES"
    said = f"Each by `{command}`, the last on {record['date']}."
    return f"{said}\n\n{table(head, rows, '  rr rrrrr')}"


def _opinion() -> str:
    record = last("onnx")
    if record is None:
        return missing("opinion")

    def share(different: int, of: int) -> str:
        return f"{1 - different / of:.5%}"

    rows = [
        (m["model"], m["source"], f"{m['images']:,}", f"{m['right'] / m['images']:.2%}",
         share(m["output_different"], m["output_bytes"]), m["output_largest"],
         share(m["layer_different"], m["layer_bytes"]), m["layer_largest"],
         share(m["predictions_different"], m["images"]))
        for m in record["models"]
    ]  # fmt: skip
    head = (
        "model", "images of", "images", "accuracy", "equal output bytes", "largest difference",
        "equal bytes of all layers", "largest difference", "equal predictions",
    )  # fmt: skip
    return (
        f"{ran(record)} ONNX Runtime {record['onnxruntime']}.\n\n{table(head, rows, '  rrrrrrr')}"
    )


def _opinion_causes() -> str:
    record = last("onnx")
    if record is None:
        return missing("opinion")
    rows = [
        (m["model"], f"{m['alone_different']:,}", m["alone_largest"], f"{m['ties']:,}",
         f"{m['near']:,}", f"{m['unexplained']:,}")
        for m in record["models"]
    ]  # fmt: skip
    head = (
        "model", "bytes that differ, layer by layer", "largest difference", "at a tie",
        "beside one", "unexplained",
    )  # fmt: skip
    return table(head, rows, " rrrrr")


TABLES: dict[str, Callable[[], str]] = {
    "fuzz": _fuzz,
    "soak": _soak,
    "netlists": _netlists,
    "opinion": _opinion,
    "opinion-causes": _opinion_causes,
}
"""What makes each table, by the name that stands in the page."""
