"""Bytes moved and memory needed, against a walk through the loop nests and counts made by hand."""

from dataclasses import asdict

import pytest
import torch
from torch import nn

from host.compiler import compile
from host.quantization import quantize
from host.traffic import traffic
from hw import isa
from hw.config import Config, named
from tests.host.networks import random_network

CONFIGS = {
    "tiny": named("tiny"),
    "2 ports": named("tiny").with_fields({"rows": 5, "cols": 3, "weight_ports": 2}),
    "2 lanes": named("tiny").with_fields({"lanes": 2}),
    "2 requantizers": named("tiny").with_fields({"rows": 4, "cols": 4, "requantizers": 2}),
}


def walk(program, index):
    """One step of a program, vector by vector, address after address, as the hardware goes."""
    cfg = program.config
    total = dict.fromkeys(("fed", "loads", "results", "sums", "beats"), 0)
    weights, table, read, wrote = set(), set(), set(), set()
    accumulators = written = 0
    layers = [v for op, v in isa.decode(program.words.tolist()) if op is isa.Op.LAYER]
    for owner, layer in zip(program.instruction_layers, layers, strict=True):
        if owner != index:
            continue
        left = {n: layer[f"{n}_last"] for n in isa.LEVELS}
        address, target, row = layer["source"], layer["target"], layer["table"]
        tile_row, seen = layer["weights"], 0
        while True:
            first_of_pass = all(left[n] == layer[f"{n}_last"] for n in isa.LEVELS[:4])
            if first_of_pass:
                total["loads"] += cfg.load_cycles
                weights |= set(range(tile_row, tile_row + cfg.load_cycles))
                tile_row += cfg.load_cycles
            total["fed"] += 1
            read |= set(range(address, address + cfg.rows))
            last_sum = left["slice"] == left["kernel_y"] == 0
            total["sums"] += not last_sum
            seen += 1
            accumulators = max(accumulators, seen)
            if last_sum and left["window_x"] == left["window_y"] == 0:
                name = "beats_last" if left["tile"] else "tail_beats_last"
                rows = range(row, row + layer[name] + 1)
                table |= set(rows)
                total["beats"] += len(rows)
                total["results"] += 1
                entries = program.table[list(rows)].reshape(-1, isa.TABLE_WORDS)
                for column, entry in enumerate(entries):
                    if entry[2] >> 24 & 1:
                        wrote.add(target + column)
                        written += 1
            ended = [n for n in isa.LEVELS if left[n] == 0]
            name = next((n for n in isa.LEVELS if left[n]), None)
            if last_sum and left["window_x"] == left["window_y"] == 0:
                mover = next((n for n in isa.RESULT_LEVELS if left[n]), None)
                target += layer[f"move_{mover}"] if mover else 0
            if name is None:
                break
            if name in ("tile", "slice", "kernel_y", "block") and last_sum:
                row = layer["table"] if left["tile"] == 0 else row + layer["beats_last"] + 1
            for inner in ended[: isa.LEVELS.index(name)]:
                left[inner] = layer[f"{inner}_last"]
            left[name] -= 1
            address += layer[f"step_{name}"]
            if name in ("slice", "kernel_y", "block"):
                seen = 0
            if name == "block":
                tile_row = layer["weights"]
    traffic = {
        "weights": total["loads"] * cfg.weight_ports * cfg.cols,
        "activations_read": total["fed"] * cfg.rows,
        "activations_written": written,
        "accumulators_read": total["sums"] * cfg.cols * cfg.acc_width // 8,
        "accumulators_written": total["sums"] * cfg.cols * cfg.acc_width // 8,
        "table": total["beats"] * cfg.requantizers * 12,
    }
    memory = {
        "weight_words": len(weights),
        "table_words": len(table),
        "accumulators": accumulators,
        "scratchpad_bytes": max(wrote) - min(wrote) + 1
        + (max(read) - min(read) + 1 if index else program.slots * program.slot_bytes),
    }  # fmt: skip
    for name in ("activations_read", "activations_written", "accumulators_read"):
        traffic[name] *= cfg.lanes
    traffic["accumulators_written"] = traffic["accumulators_read"]
    return traffic, memory


@pytest.mark.parametrize("seed", range(6), ids="random_network({})".format)
@pytest.mark.parametrize("name", CONFIGS)
def test_traffic_and_memory_are_those_of_a_walk_through_the_loops(name, seed):
    module, inputs = random_network(seed, max_size="tiny")
    program = compile(quantize(module, inputs), CONFIGS[name], batch=(2, 6)[seed % 2])
    for i, layer in enumerate(traffic(program)):
        moved, needed = walk(program, i)
        assert asdict(layer.memory) == needed, layer.name
        assert moved.items() <= asdict(layer.traffic).items(), layer.name


def test_traffic_counted_by_hand():
    """On 3 x 2: 5 inputs are 2 slices, 3 outputs 2 tiles; 4 tiles of 3 rows of 2 weights."""
    torch.manual_seed(0)
    graph = quantize(nn.Sequential(nn.Linear(5, 3)).eval(), torch.randn(16, 5))
    program = compile(graph, Config(rows=3, cols=2), batch=2)
    (layer,) = traffic(program)
    moved = layer.traffic
    assert (moved.weights, moved.weights_useful) == (4 * 3 * 2, 5 * 3)
    # Each of 4 passes has a vector of 3 bytes for each image.
    assert moved.activations_read == 4 * 2 * 3
    assert moved.activations_written == 2 * 3
    # The first of two slices leaves 2 tiles x 2 images of 2 sums of 4 bytes for the second.
    assert moved.accumulators_read == moved.accumulators_written == 2 * 2 * 2 * 4
    # An entry of 3 words for each of 3 channels, for both images.
    assert moved.table == 2 * 3 * 12
    # Both images are one slot of 10 bytes, and 6 bytes of results, in whole words.
    assert (moved.link_in, moved.link_out) == (12, 8)
    assert (layer.memory.weight_words, layer.memory.table_words) == (4 * 3, 3)
    assert layer.memory.accumulators == 2 * 2


def test_useful_weights_are_read_again_for_each_image_and_block_of_a_convolution_only():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)).eval()
    program = compile(quantize(module, torch.randn(16, 2, 6, 6)), named("tiny"), batch=4)
    (_, first), *_ = isa.decode(program.words.tolist())
    conv, linear = (layer.traffic.weights_useful for layer in traffic(program))
    assert conv == 4 * (first["block_last"] + 1) * 2 * 3 * 9
    assert linear == 48 * 5
