"""`lepton profile`: both sources, the timeline's structure and sums, the roofline's points."""

import json
from collections import Counter
from itertools import pairwise

import pytest

from host import models
from host.activity import Activity
from host.cli import execute
from host.compiler import compile
from host.cost import predict
from host.data import calibration
from host.layer_costs import MEMORIES, bandwidths, intensities, layer_costs
from host.quantization import quantize
from host.timeline import TRACKS, trace
from hw import isa
from hw.config import named


@pytest.fixture(scope="module")
def lenet():
    graph = quantize(models.load("lenet5-mnist"), calibration("lenet5-mnist"))
    return compile(graph, named("default"), batch=2)


@pytest.fixture(scope="module")
def timeline(lenet):
    activity = Activity()
    counters = predict(lenet, 3, activity)
    # As a file has it.
    return json.loads(json.dumps(trace(lenet, activity, "a run"))), counters


def spans(timeline, track):
    tid = TRACKS.index(track) + 1
    return [e for e in timeline["traceEvents"] if e["ph"] == "X" and e["tid"] == tid]


def test_the_timeline_is_what_perfetto_takes(timeline):
    """Complete and metadata events of the Chrome trace-event format; no two at once on a track."""
    events = timeline[0]["traceEvents"]
    assert {e["ph"] for e in events} == {"X", "M"}
    named_tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert named_tracks == dict(enumerate(TRACKS, 1))
    for track in TRACKS:
        found = spans(timeline[0], track)
        assert found, track
        assert all(e.keys() >= {"name", "pid", "ts", "dur"} for e in found)
        assert all(isinstance(e[key], int) for e in found for key in ("ts", "dur"))
        assert min(e["dur"] for e in found) > 0
        ordered = sorted(found, key=lambda e: e["ts"])
        for before, after in pairwise(ordered):
            assert before["ts"] + before["dur"] <= after["ts"], (before, after)


def test_the_timelines_lengths_add_up_to_the_counters(lenet, timeline):
    """Equal to those of the core: tests/e2e/test_cost.py."""
    drawn, counters = timeline
    lengths = Counter()
    for event in spans(drawn, "array"):
        lengths[event["args"]["counter"]] += event["dur"]
    counted = {name: n for name, n in counters.total.items() if name != "cycles" and n}
    assert counted == dict(lengths)
    assert sum(lengths.values()) == counters.total["cycles"]


def test_the_timeline_has_every_load_image_and_output(lenet, timeline):
    drawn, _ = timeline
    layers = [v for op, v in isa.decode(lenet.words.tolist()) if op is isa.Op.LAYER]
    tiles = sum((v["block_tiles"] + 1) * (v["block_last"] + 1) for v in layers)
    loads = spans(drawn, "weight loads")
    assert len(loads) == 3 * tiles
    assert {e["dur"] for e in loads} == {named("default").load_cycles}
    assert len(spans(drawn, "layers")) == 3 * len(layers)
    assert sum(e["dur"] for e in spans(drawn, "link in")) == 3 * 2 * lenet.slot_words
    assert len(spans(drawn, "link out")) == 3


def test_no_layer_stands_above_a_roof(lenet):
    """But for its first tile, which may be loaded under the layer before."""
    cfg = lenet.config
    for layer in layer_costs(lenet, predict(lenet)):
        assert layer.cycles
        found = intensities(layer)
        assert {"weights", "scratchpad"} <= found.keys() <= MEMORIES.keys()
        for memory, intensity in found.items():
            roof = min(cfg.pes, intensity * bandwidths(cfg)[memory])
            cycles = layer.cycles + cfg.load_cycles / lenet.batch
            assert layer.macs / cycles <= roof, (layer.name, memory)


def test_profile_writes_what_core_and_model_agree_on(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "a" / "profile"
    command = ["profile", "lenet5-mnist", "--config", "tiny", "--out", str(out), "--json", "-"]
    assert execute(command) == 0
    stdout, stderr = capsys.readouterr()
    record = json.loads(stdout)
    assert record["differences"] == []
    assert record["sources"]["rtl"] == record["sources"]["cost"]
    assert "differs from the core: 0" in stderr
    layers = record["sources"]["rtl"]["layers"]
    fed = record["sources"]["rtl"]["counters"]["fed"]
    # The core's own count of vectors, in all batches of one image each.
    read = sum(layer["traffic"]["activations_read"] for layer in layers)
    assert read * record["batches"] == fed * record["fields"]["rows"]
    assert json.loads((out / "profile.json").read_text()) == record
    assert json.loads((out / "timeline.json").read_text())["traceEvents"]
    assert (out / "roofline.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "roofline.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--source", "gpu"), "'both', 'rtl', 'cost'"),
        (("--out", "/dev/null"), "/dev/null is not a folder"),
        (("--set", "trace_depth=2", "--source", "rtl"), "--set trace_depth=5"),
        (("--set", "stall_counters=0"), "counts cycles, but neither vectors nor stalls"),
        (("--set", "stall_counters=0"), "use --set stall_counters=1, or --source cost"),
        (
            ("--set", "stall_counters=0", "--set", "trace_depth=2"),
            "use --set stall_counters=1 --set trace_depth=5, or --source cost",
        ),
    ],
    ids=["source", "out", "trace_depth", "stalls", "what helps", "both"],
)
def test_profile_refuses(capsys, arguments, said):
    assert execute(["profile", "lenet5-mnist", *arguments]) == 2
    assert said in capsys.readouterr().err
