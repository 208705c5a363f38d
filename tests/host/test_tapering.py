"""host/compiler/tapering.py; that the hardware agrees is shown by tests/e2e"""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import nn

from host.compiler import compile
from host.compiler.folding import fitted
from host.compiler.steps import lower
from host.compiler.tapering import tapered
from host.cost import predict
from host.quantization import quantize
from hw.config import Config

WIDE = Config(rows=16, cols=16, weight_ports=4, requantizers=4, table_depth=1024)
BATCH = 16


@pytest.fixture(scope="module")
def graph():
    """Each layer waits for the last channels of the one before it."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(100, 96), nn.ReLU(), nn.Linear(96, 84), nn.ReLU(), nn.Linear(84, 10)
    ).eval()
    return quantize(module, torch.randn(32, 100))


def found(graph, cfg):
    return [fitted(step, cfg, BATCH, folding=True) for step in lower(graph, cfg.acc_width)]


def untapered(monkeypatch, graph, cfg, batch=BATCH):
    with monkeypatch.context() as patch:
        patch.setattr("host.compiler.tapered", lambda found, cfg: found)
        return compile(graph, cfg, batch=batch)


def test_cut_jobs_have_every_tile_once(graph):
    before = found(graph, WIDE)
    after = tapered(before, WIDE)
    cut = 0
    for (_, plain), (_, tiling) in zip(before, after, strict=True):
        tiles = [job.first_tile + i for job in tiling.jobs for i in range(job.tiles)]
        assert tiles == list(range(plain.tiles))
        assert all(job.columns == BATCH for job in tiling.jobs)
        cut += len(tiling.jobs) - len(plain.jobs)
    assert cut >= 1


def test_a_layer_waits_less_for_a_job_that_is_cut(monkeypatch, graph):
    plain, cut = (
        predict(untapered(monkeypatch, graph, WIDE)),
        predict(compile(graph, WIDE, batch=BATCH)),
    )
    assert cut.total["fed"] == plain.total["fed"]
    assert cut.total["stall_dependency"] < plain.total["stall_dependency"]
    assert cut.cycles < plain.cycles


@cache
def drawn(seed):
    """Four layers of any size, and an array of any size."""
    torch.manual_seed(seed)
    sizes = torch.randint(10, 200, (5,)).tolist()
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    rows, cols = torch.randint(4, 25, (2,)).tolist()
    graph = quantize(nn.Sequential(*layers).eval(), torch.randn(16, sizes[0]))
    return graph, replace(WIDE, rows=rows, cols=cols)


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_cuts_save_what_they_were_chosen_for(monkeypatch, batch):
    """By the cost model, on networks and arrays drawn at random: the first output comes sooner, and
    never much later."""
    saved = 0
    for seed in range(12):
        graph, cfg = drawn(seed)
        plain = predict(untapered(monkeypatch, graph, cfg, batch)).stamps[0]
        cut = predict(compile(graph, cfg, batch=batch)).stamps[0]
        assert cut <= 1.01 * plain, f"seed {seed}"
        saved += cut < plain
    assert saved >= 3


def test_what_waits_for_nothing_is_not_cut(monkeypatch, graph):
    # A tile through one port takes longer to load than all results to leave.
    slow = WIDE.with_fields({"weight_ports": 1, "rows": 64, "requantizers": 16})
    before, after = found(graph, slow), tapered(found(graph, slow), slow)
    assert [t.jobs for _, t in after] == [t.jobs for _, t in before]


def test_a_program_that_fits_only_without_cuts_has_none(monkeypatch, graph):
    plain = untapered(monkeypatch, graph, WIDE)
    room = len(plain.words)
    assert len(compile(graph, WIDE, batch=BATCH).words) > room
    small = WIDE.with_fields({"program_depth": room})
    assert (compile(graph, small, batch=BATCH).words == plain.words).all()
