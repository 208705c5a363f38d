"""Tables of packets, instructions, configuration, latencies and the UART."""

from collections.abc import Callable

from host.docs.markdown import described, table
from host.latencies import result_latency, retire
from hw import config, isa, uart_frame
from hw.accumulator import Accumulators
from hw.config import LIMITS, NAMED, Config
from hw.feeder import Feeder
from hw.lane import array_form
from hw.results import Results
from hw.scratchpad import Scratchpad
from hw.sequencer import Sequencer
from hw.uart_line import DIVISORS
from hw.weights import WeightMemory


def _opcodes(kind: type[isa.Packet] | type[isa.Reply]) -> str:
    texts = described(isa, kind.__name__)
    rows = ((f"`{p.value:#04x}`", f"`{p.name}`", texts[p.name]) for p in kind)
    return table(("opcode", "name", "meaning"), rows)


def _causes() -> str:
    texts = described(isa, "Cause")
    rows = ((c.value, f"`{c.name}`", texts[c.name]) for c in isa.Cause)
    return table(("cause", "name", "meaning"), rows, "r")


def _header() -> str:
    rows = (
        (f"{field.offset + field.width - 1}:{field.offset}", f"`{name}`")
        for name, field in isa.HEADER
    )
    return table(("bits", "field"), rows)


def _run_words() -> str:
    return _numbered("word", isa.RUN_WORDS, "RUN_WORDS")


def _counters() -> str:
    return _numbered("word", isa.COUNTERS, "COUNTERS")


def _numbered(what: str, names: tuple[str, ...], of: str) -> str:
    rows = ((i, f"`{name}`") for i, name in enumerate(names))
    return f"{table((what, 'name'), rows, 'r')}\n\n{described(isa)[of]}"


def _spaces() -> str:
    head = ("space", "memory", "words of a row", *(f"rows, `{name}`" for name in NAMED))
    words = {
        isa.Space.WEIGHTS: "weight_ports * ceil(cols / 4)",
        isa.Space.TABLE: f"{isa.TABLE_WORDS} * requantizers",
    }
    rows = []
    for space in isa.Space:
        size = words.get(space, f"{isa.row_words(Config(), space)}")
        depths = (f"{isa.rows(cfg, space):,}" for cfg in NAMED.values())
        rows.append((space.value, f"`{space.name}`", size, *depths))
    return table(head, rows, f"r  {'r' * len(NAMED)}")


def _instructions() -> str:
    texts = described(isa, "Op")
    rows = ((op.value, f"`{op.name}`", isa.length(op), texts[op.name]) for op in isa.Op)
    return table(("opcode", "name", "words", "meaning"), rows, "r r")


def _layer() -> str:
    rows = []
    for field in isa.LAYER:
        high = field.offset + field.width - 1
        bits = f"{high}:{field.offset}" if field.width > 1 else f"{high}"
        signed = "signed" if field.name.startswith(isa.SIGNED) else ""
        rows.append((field.word, bits, f"`{field.name}`", signed, field.text))
    return table(("word", "bits", "field", "", "meaning"), rows, "rr")


def _kept() -> str:
    widths = [isa.kept(cfg) for cfg in NAMED.values()]
    shown = {}
    for field in isa.LAYER:
        prefix = next((p for p in isa.SIGNED if field.name.startswith(p)), None)
        bits = [kept.get(field.name, 0) for kept in widths]
        if any(b != field.width for b in bits):
            shown[f"{prefix}..." if prefix else field.name] = bits
    rows = [(f"`{name}`", *bits) for name, bits in shown.items()]
    rows.append(("all", *(sum(kept.values()) for kept in widths)))
    return table(("bits kept of", *(f"`{name}`" for name in NAMED)), rows, f" {'r' * len(NAMED)}")


def _table_entry() -> str:
    rows = []
    for name, field in isa.table_entry(Config()):
        word, low = divmod(field.offset, 32)
        high = low + field.width - 1
        rows.append((word, f"{high}:{low}" if field.width > 1 else high, f"`{name}`"))
    return table(("word", "bits", "field"), rows, "rr")


def _fields() -> str:
    texts = described(config, "Config")
    rows = [
        (f"`{name}`", f"{low:,}", f"{high:,}",
         *(f"{getattr(c, name):,}" for c in NAMED.values()), texts[name])
        for name, (low, high) in LIMITS.items()
    ]  # fmt: skip
    head = ("field", "least", "most", *(f"`{name}`" for name in NAMED), "meaning")
    return table(head, rows, f" rr{'r' * len(NAMED)}")


def _derived() -> str:
    names = [
        name
        for name, value in vars(Config).items()
        if isinstance(value, property) and value.__doc__
    ]
    rows = [
        (f"`{name}`", *(f"{getattr(c, name):,}" for c in NAMED.values()),
         " ".join(str(getattr(Config, name).__doc__).split()))
        for name in names
    ]  # fmt: skip
    return table(
        ("property", *(f"`{name}`" for name in NAMED), "meaning"), rows, f" {'r' * len(NAMED)}"
    )


def to_written(cfg: Config) -> int:
    """Cycles from that decision to the last byte at the scratchpad, with nothing before it."""
    return result_latency(cfg) + (cfg.beats - 1) * cfg.requant_cycles + retire(cfg)


def _latencies() -> str:
    stages: list[tuple[str, str, Callable[[Config], int]]] = [
        ("feeder", "decision to address", lambda c: Feeder.LATENCY),
        ("scratchpad", "address to slice", lambda c: Scratchpad.LATENCY),
        ("array", "slice to the sum of column 0", lambda c: array_form(c).latency(c)),
        ("accumulators", "sum to pooled result, column 0", lambda c: Accumulators.LATENCY),
        ("results", "until a reader meets every column", lambda c: Results.waits(c) + 1),
        ("results, table", "read", lambda c: Results.LATENCY),
        ("requantizer", "accumulator to int8", lambda c: retire(c) - Results.LATENCY),
        (
            "requantizer",
            "the other columns of the result",
            lambda c: (c.beats - 1) * c.requant_cycles,
        ),
        ("**all**", "decision to the last byte at the scratchpad", to_written),
        ("weights", "address to the array", lambda c: WeightMemory.LATENCY),
        ("weights", "loading a tile", lambda c: c.load_cycles),
        ("accumulators", "between two vectors for one address", lambda c: Accumulators.HAZARD),
        ("sequencer", "from one instruction to the next", lambda c: Sequencer.FETCH),
    ]
    rows = (
        (part, text, *(f"{cycles(c)}" for c in NAMED.values())) for part, text, cycles in stages
    )
    return table(
        ("part", "cycles of", *(f"`{name}`" for name in NAMED)), rows, f"  {'r' * len(NAMED)}"
    )


def _uart_header() -> str:
    rows = (
        (f"{f.offset + f.width - 1}:{f.offset}", f"`{name}`", uart_frame.FIELDS[name])
        for name, f in uart_frame.HEADER
    )
    return table(("bits", "field", "meaning"), rows)


def _uart_kinds() -> str:
    texts = described(uart_frame, "Kind")
    rows = ((k.value, f"`{k.name}`", texts[k.name]) for k in uart_frame.Kind)
    return table(("kind", "name", "meaning"), rows, "r")


def _uart_bauds() -> str:
    clocks = (12, 25, 48, 100)
    rows = []
    for baud in (115_200, 500_000, 1_000_000, 2_000_000, 3_000_000):
        cells = []
        for clock in clocks:
            divisor = max(DIVISORS[0], round(clock * 1e6 / baud))
            error = clock * 1e6 / divisor / baud - 1
            cells.append(f"{divisor} ({error:+.1%})" if abs(error) < 0.03 else "-")
        rows.append((f"{baud:,}", *cells))
    return table(("baud", *(f"{c} MHz" for c in clocks)), rows, "rrrrr")


TABLES: dict[str, Callable[[], str]] = {
    "requests": lambda: _opcodes(isa.Packet),
    "replies": lambda: _opcodes(isa.Reply),
    "causes": _causes,
    "header": _header,
    "run-words": _run_words,
    "counters": _counters,
    "spaces": _spaces,
    "instructions": _instructions,
    "layer": _layer,
    "kept-bits": _kept,
    "table-entry": _table_entry,
    "config-fields": _fields,
    "config-derived": _derived,
    "latencies": _latencies,
    "uart-header": _uart_header,
    "uart-kinds": _uart_kinds,
    "uart-bauds": _uart_bauds,
}
"""What makes each table, by the name that stands in the page."""
