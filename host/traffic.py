"""Bytes that the layers of a program move, and the memory that they need, from its words alone.

Closed forms over the loop nests of the instructions (docs/architecture.md, "How a layer runs"): no
loop over vectors, so milliseconds for any program. Counted is a batch, in all lanes; these share
the weights and the table, which are read once for all of them.
"""

from dataclasses import dataclass

import numpy as np

from host.program import Program
from hw import isa


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes moved for one batch."""

    weights: int
    """Read from weight memory: whole tiles, with the zeros that fill them up."""
    weights_useful: int
    """Of these, weights of the network; a folded layer has several copies, and one counts."""
    activations_read: int
    """Slices that enter the array, with the bytes that meet weights of zero."""
    activations_written: int
    """Results of the layer."""
    accumulators_read: int
    accumulators_written: int
    """Sums that later passes need; of `acc_width` bits, which need not be whole bytes."""
    table: int
    """Entries of the requantization table, of `isa.TABLE_WORDS` words."""
    link_in: int
    link_out: int
    """Payload of images and outputs, without headers and time stamps. Both pass through the
    scratchpad and are not counted again as activations."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What must be there while the layer runs."""

    weight_words: int
    """Rows of weight memory, each read by one load cycle."""
    table_words: int
    """Rows of the requantization table."""
    accumulators: int
    """Of each column and lane, in the largest block."""
    scratchpad_bytes: int
    """From the first byte to the last that is read, and that is written, in each lane for its
    part of the batch."""


@dataclass(frozen=True)
class LayerTraffic:
    """One step of a program."""

    name: str
    traffic: Traffic
    memory: Memory


def traffic(program: Program) -> tuple[LayerTraffic, ...]:
    """Traffic and memory of each of `program.layers`, in their order."""
    decoded = [v for op, v in isa.decode(program.words.tolist()) if op is isa.Op.LAYER]
    columns = {name: np.array([v[name] for v in decoded], np.int64) for name in decoded[0]}
    owners = np.array(program.instruction_layers)
    return tuple(
        _layer(program, i, {name: values[owners == i] for name, values in columns.items()})
        for i in range(len(program.layers))
    )


def _layer(program: Program, index: int, f: dict[str, np.ndarray]) -> LayerTraffic:
    """`f`: every field of the step's instructions, int64 (instructions,)."""
    cfg, info = program.config, program.layers[index]
    count = {n: f[f"{n}_last"] + 1 for n in isa.LEVELS}
    results = count["x"] * count["y"]
    vectors = results * count["window_x"] * count["window_y"] * count["tile"]
    """Of one turn of `slice`: what adds to each accumulator once."""
    sums = count["slice"] * count["kernel_y"]
    fed = vectors * sums * count["block"]
    loaded = count["tile"] * sums * count["block"] * cfg.load_cycles

    # Of every table row, how many columns have a channel; then of all rows before it.
    there = program.table.reshape(len(program.table), cfg.requantizers, isa.TABLE_WORDS)
    word, offset, mask = isa.table_field(cfg, "write")
    written = np.concatenate(([0], np.cumsum((there[..., word] >> offset & mask).sum(axis=1))))
    beats = (count["tile"] - 1) * (f["beats_last"] + 1) + f["tail_beats_last"] + 1
    channels = written[f["table"] + beats] - written[f["table"]]
    table_rows = _union(f["table"], f["table"] + beats)
    last_tile = written[f["table"] + beats] - written[f["table"] + beats - f["tail_beats_last"] - 1]
    all_channels = int(sum(written[stop] - written[start] for start, stop in table_rows))

    stored = (
        cfg.acc_width
        * cfg.cols
        * int((vectors * (sums - 1) * count["block"]).sum())
        // 8
        * cfg.lanes
    )
    weight_rows = _union(f["weights"], f["weights"] + (f["block_tiles"] + 1) * cfg.load_cycles)
    return LayerTraffic(
        info.name,
        Traffic(
            weights=int(loaded.sum()) * cfg.weight_ports * cfg.cols,
            weights_useful=int((channels * count["block"]).sum()) * info.weights // all_channels,
            activations_read=int(fed.sum()) * cfg.rows * cfg.lanes,
            activations_written=int((results * count["block"] * channels).sum()) * cfg.lanes,
            accumulators_read=stored,
            accumulators_written=stored,
            table=int((results * count["block"] * beats).sum())
            * cfg.requantizers * isa.TABLE_WORDS * 4,
            link_in=int(f["wait_input"].sum()) * program.slot_words * 4,
            link_out=int(f["emit_words"].sum()) * 4 * cfg.lanes,
        ),
        Memory(
            weight_words=_length(weight_rows),
            table_words=_length(table_rows),
            accumulators=int(vectors.max()),
            scratchpad_bytes=_read_bytes(program, f, count) + _written_bytes(f, count, last_tile),
        ),
    )  # fmt: skip


def _read_bytes(program: Program, f: dict[str, np.ndarray], count: dict[str, np.ndarray]) -> int:
    if f["src_input"].any():
        return program.slots * program.slot_bytes
    low, high = _reach(f, count, "step", isa.LEVELS)
    return int((f["source"] + high).max() - (f["source"] + low).min()) + program.config.rows


def _written_bytes(
    f: dict[str, np.ndarray], count: dict[str, np.ndarray], last_tile: np.ndarray
) -> int:
    low, high = _reach(f, count, "move", isa.RESULT_LEVELS)
    return int((f["target"] + high + last_tile).max() - (f["target"] + low).min())


def _reach(
    f: dict[str, np.ndarray], count: dict[str, np.ndarray], kind: str, levels: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest address of each nest, against its first one.

    A step is a loop's own move less what the loops inside it moved until their last turns.
    """
    inner = low = high = np.zeros_like(f["source"])
    for name in levels:
        if f"{kind}_{name}" in f:
            turns = count[name] - 1
            move = np.where(turns > 0, f[f"{kind}_{name}"] + inner, 0)
            inner = inner + turns * move
            low, high = low + np.minimum(0, turns * move), high + np.maximum(0, turns * move)
    return low, high


def _union(starts: np.ndarray, stops: np.ndarray) -> list[tuple[int, int]]:
    """The intervals that cover all of these, in order and apart from each other."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(set(zip(starts.tolist(), stops.tolist(), strict=True))):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def _length(intervals: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in intervals)
