"""Steps and jobs to the words of the three memories that a program fills."""

import numpy as np

from host.compiler.dependencies import NO_WAIT, Allow, History, fit
from host.compiler.jobs import Job, Tiling, shortest_pass
from host.compiler.memory import Tensor
from host.compiler.steps import Step
from hw import isa
from hw.config import Config


def steps_of(moves: dict[str, int], counts: dict[str, int]) -> dict[str, int]:
    """What the hardware adds when a loop advances: its own move less those of the loops inside it.

    Both have the same keys, innermost first.
    """
    inner, result = 0, {}
    for name, move in moves.items():
        result[name] = move - inner
        inner += (counts[name] - 1) * move
    return result


def layer_fields(
    step: Step, tiling: Tiling, job: Job, source: Tensor, target: Tensor, cfg: Config
) -> dict[str, int]:
    """Counts and addresses of a job, for the first of several tensors."""
    (window_y, window_x), (hop_y, hop_x) = step.window.kernel, step.window.stride
    stride_y, stride_x = step.stride
    channels_in, channels_out = step.input_shape[2], step.output_shape[2]
    counts = {
        "window_x": window_x, "window_y": window_y, "x": job.columns, "y": job.rows,
        "tile": job.tiles, "slice": tiling.slices, "kernel_y": tiling.kernel_rows,
        "block": job.blocks,
    }  # fmt: skip
    x_in = source.stride if step.vector else hop_x * stride_x * channels_in
    y_in = hop_y * stride_y * source.pitch
    tile_in = tiling.tile_cols if step.diagonal else 0
    moves = {
        "window_x": stride_x * channels_in, "window_y": stride_y * source.pitch, "x": x_in,
        "y": y_in, "tile": tile_in, "slice": tiling.slice_bytes, "kernel_y": source.pitch,
        "block": job.rows * y_in,
    }  # fmt: skip
    x_out = target.stride if step.vector else channels_out
    targets = {
        "x": x_out, "y": target.pitch, "tile": tiling.tile_cols, "block": job.rows * target.pitch,
    }  # fmt: skip
    vectors = job.rows * job.columns * window_x * window_y
    full, tail = (-(-c // cfg.requantizers) for c in (tiling.tile_cols, tail_cols(step, tiling)))
    return {
        "pool_sum": int(step.pool_sum),
        "pass_min": shortest_pass(job.tiles, vectors) - 1,
        **{f"{n}_last": count - 1 for n, count in counts.items()},
        **{f"step_{n}": value for n, value in steps_of(moves, counts).items()},
        **{f"move_{n}": value for n, value in steps_of(targets, counts).items()},
        "source": source.address
        + job.first_row * y_in + job.first_column * x_in + job.first_tile * tile_in,
        "target": target.address + target.inner
        + job.first_row * target.pitch + job.first_column * x_out
        + job.first_tile * tiling.tile_cols,
        "block_tiles": job.tiles * tiling.passes_per_tile - 1,
        "beats_last": full - 1,
        "tail_beats_last": (tail if job.first_tile + job.tiles == tiling.tiles else full) - 1,
    }  # fmt: skip


def tail_cols(step: Step, tiling: Tiling) -> int:
    """Channels of the last tile."""
    return step.output_shape[2] - (tiling.tiles - 1) * tiling.tile_cols


def weight_rows(step: Step, tiling: Tiling, job: Job, cfg: Config) -> np.ndarray:
    """Rows of weight memory for a job's tiles, in the order in which passes want them.

    uint32 (rows, words of a row): for each pass the rows of its tile from the last to the first.
    """
    tiles = _diagonal_tiles(tiling, job, cfg) if step.diagonal else _tiles(step, tiling, job, cfg)
    padded = np.zeros((len(tiles), cfg.weight_ports * cfg.load_cycles, 4 * cfg.port_words), np.int8)
    padded[:, : cfg.rows, : cfg.cols] = tiles
    ports = padded.reshape(len(tiles), cfg.weight_ports, cfg.load_cycles, -1)[:, :, ::-1]
    rows = ports.transpose(0, 2, 1, 3).reshape(len(tiles) * cfg.load_cycles, -1)
    return np.ascontiguousarray(rows).view("<u4")


def _tiles(step: Step, tiling: Tiling, job: Job, cfg: Config) -> np.ndarray:
    """int8 (passes, rows, cols) for kernel row, slice, tile."""
    out, kernel_rows, kernel_columns, inputs = step.weight.shape
    row_bytes = kernel_columns * inputs
    padded = np.zeros(
        (tiling.tiles * tiling.tile_cols, kernel_rows, tiling.slices * cfg.rows), np.int8
    )
    padded[:out, :, :row_bytes] = step.weight.reshape(out, kernel_rows, row_bytes)
    first = job.first_tile * tiling.tile_cols
    mine = padded[first : first + job.tiles * tiling.tile_cols]
    mine = mine.reshape(job.tiles, tiling.tile_cols, kernel_rows, tiling.slices, cfg.rows)
    return mine.transpose(2, 3, 0, 4, 1).reshape(-1, cfg.rows, tiling.tile_cols)


def _diagonal_tiles(tiling: Tiling, job: Job, cfg: Config) -> np.ndarray:
    """The same identity for every pass; columns without a channel are not written."""
    tile = np.zeros((cfg.rows, cfg.cols), np.int8)
    tile[range(tiling.tile_cols), range(tiling.tile_cols)] = 1
    return np.broadcast_to(tile, (job.tiles * tiling.passes_per_tile, *tile.shape))


def table_rows(step: Step, tiling: Tiling, cfg: Config) -> np.ndarray:
    """Requantization table of all tiles: uint32 (rows, words of a row)."""
    channels = step.output_shape[2]
    beats = -(-tiling.tile_cols // cfg.requantizers)
    # Channel c of tile t stands in row t * beats + c // requantizers.
    entries = np.zeros((tiling.tiles, beats * cfg.requantizers, isa.TABLE_WORDS), np.uint32)
    tile, column = np.divmod(np.arange(channels), tiling.tile_cols)
    requant = step.requant
    for name, values in (
        ("bias", step.bias),
        ("multiplier", requant.multiplier),
        ("shift", requant.shift),
        ("zero_point", requant.zero_point),
        ("lo", requant.lo),
        ("hi", requant.hi),
        ("write", 1),
    ):
        word, offset, mask = isa.table_field(cfg, name)
        bits = (np.asarray(values, np.int64) & mask) << offset
        entries[tile, column, word] |= bits.astype(np.uint32)
    rows = entries.reshape(tiling.tiles * beats, -1)
    tail = -(-tail_cols(step, tiling) // cfg.requantizers)
    return rows[: (tiling.tiles - 1) * beats + tail]


def table_row_of(tiling: Tiling, tile: int, cfg: Config) -> int:
    """Row of a tile within `table_rows`."""
    return tile * -(-tiling.tile_cols // cfg.requantizers)


def record(
    history: History, step: Step, tiling: Tiling, job: Job, tensor: int, target: Tensor, image: int
) -> None:
    """Notes which result writes which byte of the step's output."""
    height, width, channels = target.shape
    if tensor not in history.tensors:
        shape = (target.count, height, width, channels)
        history.tensors[tensor] = np.zeros(shape, np.int64)
    shape = (job.blocks, job.tiles, job.rows, job.columns)
    numbers = history.issued + 1 + np.arange(np.prod(shape)).reshape(shape)
    history.issued += numbers.size
    # A folded step sees the same bytes as fewer positions of more channels.
    height, width, channels = step.output_shape
    tiles = numbers.transpose(0, 2, 3, 1).reshape(job.blocks * job.rows, job.columns, job.tiles)
    first = job.first_tile * tiling.tile_cols
    values = tiles.repeat(tiling.tile_cols, axis=2)[..., : channels - first]
    where = slice(first, first + values.shape[2])
    columns = slice(job.first_column, job.first_column + job.columns)
    written = history.tensors[tensor].reshape(target.count, height, width, channels)
    if step.vector:
        written[columns, 0, 0, where] = values[0]
    else:
        written[image, job.first_row : job.first_row + len(values), columns, where] = values


def allow(
    history: History, step: Step, tiling: Tiling, job: Job, tensor: int, image: int, limit: int, *,
    whole: bool = False,
) -> Allow:  # fmt: skip
    """How many earlier results may be pending at each pass of the job, which reads that tensor;
    `limit` is that of `fit`.

    With `whole` its last pass waits for all of the tensor, also for what nobody reads: behind it
    the next image may be written to the same place.
    """
    if tensor not in history.tensors:
        return fit(np.full((1, 1, 1), NO_WAIT), limit)
    written = history.tensors[tensor]
    columns = slice(job.first_column, job.first_column + job.columns)
    if step.vector:
        rows = written[columns].reshape(job.columns, -1)
        newest = rows.max(axis=0)
        ends = [
            newest[i * tiling.slice_bytes : (i + 1) * tiling.slice_bytes]
            for i in range(tiling.slices)
        ]
        need = np.array([e.max(initial=0) for e in ends]).reshape(1, 1, -1)
    else:
        need = _needed_rows(written[image], step, tiling, job)
    if whole:
        need[-1, -1, -1] = max(need[-1, -1, -1], written.max())
    return fit(np.where(need > 0, history.issued - need, NO_WAIT), limit)


def _needed_rows(written: np.ndarray, step: Step, tiling: Tiling, job: Job) -> np.ndarray:
    """The newest result that each pass reads: (blocks, kernel rows, slices)."""
    height, width, channels = written.shape
    rows = written.reshape(height, -1)
    top, _, left, _ = step.padding
    (window_y, window_x), (hop_y, hop_x) = step.window.kernel, step.window.stride
    stride_y, stride_x = step.stride
    need = np.zeros((job.blocks, tiling.kernel_rows, tiling.slices), np.int64)
    row_bytes = step.weight.shape[2] * channels
    last_column = job.first_column + job.columns - 1
    for i in range(tiling.slices):
        begin = (job.first_column * hop_x * stride_x - left) * channels + i * tiling.slice_bytes
        end = ((last_column * hop_x + window_x - 1) * stride_x - left) * channels
        end += min((i + 1) * tiling.slice_bytes, row_bytes)
        if row_bytes > width * channels:
            begin, end = 0, width * channels  # merged kernel rows: all of a row
        newest = rows[:, max(0, begin) : max(0, end)].max(axis=1, initial=0)
        for block in range(job.blocks):
            first = (job.first_row + block * job.rows) * hop_y * stride_y - top
            last = first + ((job.rows - 1) * hop_y + window_y - 1) * stride_y
            for ky in range(tiling.kernel_rows):
                stop = last + ky + 1 if row_bytes <= width * channels else height
                need[block, ky, i] = newest[max(0, first + ky) : max(0, stop)].max(initial=0)
    return need


def allow_fields(bound: Allow, tiling: Tiling) -> dict[str, int]:
    """The bound as the hardware adds it up."""
    counts = {"slice": tiling.slices, "kernel_y": tiling.kernel_rows, "block": 1}
    moves = {
        "slice": bound.per_slice, "kernel_y": bound.per_kernel_row, "block": bound.per_block,
    }  # fmt: skip
    steps = steps_of(moves, counts)
    return {"allow": bound.start, **{f"allow_{n}": value for n, value in steps.items()}}
