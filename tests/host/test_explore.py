"""The explorer: its space, its models, its choice, what it keeps and what it refuses."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from host import catalog
from host.cli import execute
from host.compiler import compile
from host.cost import predict
from host.errors import LeptonError
from host.explore import choice, figures, memories, resources, store
from host.explore.choice import Candidate, Wishes
from host.explore.cycles import Cycles, Evaluator
from host.explore.resources import Estimate, Model
from host.explore.run import Question, explore
from host.explore.schedule import next_jobs
from host.explore.space import Point, Shape, Space
from host.explore.store import Store
from host.explore.work import Job, carry_out
from host.farm import Farm
from host.measurement import Watcher
from host.synth import Scope, flow, synthesize, tools
from host.synth.devices import DEVICES
from hw.config import NAMED, Config, named
from tests.host import synth_tools
from tests.host.test_synth import bench as bench  # a fixture: stand-ins for the tools

ROOT = Path(__file__).parents[2]
MODELS = ["explore", "lenet5-mnist", "--budget-minutes", "0", "--shapes", "3"]


class Flat(Model):
    """A resource model without synthesis results: what is tested is not how good it is."""

    def __init__(self, family: str, luts_per_pe: int = 30) -> None:
        self.family, self.luts_per_pe = family, luts_per_pe

    def __call__(self, cfg, device):
        return Estimate(self.luts_per_pe * cfg.pes, cfg.pes, cfg.pes, cfg.lanes, 0, 100.0)

    def errors(self):
        return {}


@pytest.fixture(scope="module")
def graph():
    return catalog.find("lenet5-mnist").quantize(16)


@pytest.fixture
def space(graph):
    device = DEVICES["ecp5-85k"]
    return Space({"m": Evaluator(graph, 4)}, {"ecp5": Flat("ecp5")}, {device.name: device}, 4)


def point(**fields) -> Point:
    fields = {"luts": 1000, "latency": 1000, "per_image": 1000.0, "mhz": 100.0, **fields}
    fields.setdefault("device", "ecp5-25k")
    guess = Estimate(fields["luts"], 1, fields.get("dsps", 1), 1, 0, fields["mhz"])
    cycles = Cycles(fields["per_image"], fields["latency"], 1, 1, 1, 1)
    cfg = Config(rows=fields.get("rows", 15), cols=fields.get("cols", 6))
    return Point("m", fields["device"], 1, cfg, cycles, guess)


def compiled(graph, cfg):
    """Cycles of an image, or why there are none."""
    try:
        return predict(compile(graph, cfg, batch=4)).cycles_per_image
    except LeptonError as error:
        return str(error)


def test_every_point_compiles_and_with_a_word_less_than_it_needs_not_to_these_cycles(space, graph):
    points = space.points(Shape("m", "ecp5-85k", 5, 6, 2))
    assert len(points) > 20
    refused = 0
    for one in random.Random(1).sample(points, 3):
        compile(graph, one.config, batch=4)
        needs = {
            "weight_depth": one.cycles.weight_words,
            "table_depth": one.cycles.table_words,
            "program_depth": one.cycles.program_words,
        }
        for name, need in needs.items():
            assert getattr(one.config, name) >= need
            smaller = one.config.with_fields({name: need - 1})
            less = compiled(graph, smaller)
            if isinstance(less, str):
                assert name in less
                refused += 1
            else:
                # Without folding, or without cuts.
                assert less > one.cycles.per_image
        sizes = {p.config.scratchpad_bytes for p in points}
        assert len(sizes) > 1
        large, small = (
            one.config.with_fields({"scratchpad_bytes": size}) for size in (max(sizes), min(sizes))
        )
        assert compile(graph, large, batch=4).slots == 2
        assert compile(graph, small, batch=4).slots == 1
        half = small.with_fields({"scratchpad_bytes": min(sizes) // 2})
        with pytest.raises(LeptonError, match="scratchpad"):
            compile(graph, half, batch=4)
        narrow = one.config.with_fields({"acc_width": one.config.acc_width - 1})
        with pytest.raises(LeptonError):
            compile(graph, narrow, batch=4)
    assert refused >= 6


@pytest.mark.parametrize(
    ("columns", "depth", "raised", "for_nothing"),
    [
        # 32 blocks of 16 Kbit either way, and with 8,192 rows each bit has a block to itself.
        (8, 7900, 8192, 8192),
        # 18 blocks, or 24.
        (6, 5592, 8192, 5592),
        (6, 4096, 4096, 4096),
        # As few bits as this become LUTs, more of them with each row.
        (1, 100, 100, 100),
    ],
)
def test_a_memory_is_as_deep_as_blocks_of_ram_are(columns, depth, raised, for_nothing):
    """15 x 6 with 5,592 rows of weights selected between blocks in the cycle of their read."""
    shape = memories.weights(1, columns, depth)
    assert memories.raised(shape, "ecp5", for_nothing=False) == raised
    assert memories.raised(shape, "ecp5", for_nothing=True) == for_nothing


def test_memories_are_raised_where_the_part_has_the_blocks(graph):
    def depths(brams):
        device = replace(DEVICES["ecp5-85k"], brams=brams)
        models = {"ecp5": resources.model("ecp5")}
        space = Space({"m": Evaluator(graph, 4)}, models, {device.name: device}, 4)
        return {
            (p.config.weight_ports, p.config.acc_depth, p.config.scratchpad_bytes): p.config
            for p in space.points(Shape("m", device.name, 5, 6, 2))
        }

    many, few = depths(208), depths(1)
    assert many.keys() == few.keys()
    assert any(few[key].weight_depth < cfg.weight_depth for key, cfg in many.items())
    for cfg in many.values():
        assert all(depth.bit_count() == 1 for depth in (cfg.weight_depth, cfg.program_depth))


def test_a_named_configuration_that_cannot_be_built_says_why_before_yosys(monkeypatch):
    """The first figures ended with an error at `tiny`, whose program memory holds no batch."""
    monkeypatch.setattr(figures, "synthesize", None)
    assert "words of program" in figures.measure_named("ecp5-25k", "tiny")["why_not"]
    found = figures.measure_named("up5k", "default")
    assert found["cycles_per_image"] > 0
    assert found["why_not"] == f"this does not fit up5k: it needs {found['brams']} brams of 30"
    assert found["mhz"] is found["images_per_s"] is None


def test_a_built_core_is_measured_at_its_fastest_seed_and_names_the_others(bench, monkeypatch):
    synth_tools.install(bench, sleep=600, quick=(2, 4))
    monkeypatch.setattr(flow, "SEED_MINUTES", 0.02)
    fields = {"lanes": 2, "acc_depth": 64}
    found = figures.measure_built("ecp5-85k", "lenet5-mnist-small", 4, fields, range(2, 5))
    assert found["mhz_by_seed"] == {"2": 70.0, "4": 90.0}
    assert (found["mhz"], found["unrouted_seeds"]) == (90.0, [3])
    cfg = named("ecp5-85k").with_fields(fields)
    assert found["fields"] == dict(cfg.items())
    program = compile(catalog.find("lenet5-mnist-small").quantize(16), cfg, batch=4)
    assert found["cycles_per_image"] == predict(program).cycles_per_image
    assert found["images_per_s"] == round(90e6 / found["cycles_per_image"], 1)


def test_a_field_that_is_set_has_that_value_everywhere(graph):
    device = DEVICES["ecp5-85k"]
    fixed = {"weight_ports": 3, "acc_width": 32, "weight_depth": 20_000}
    space = Space(
        {"m": Evaluator(graph, 4)}, {"ecp5": Flat("ecp5")}, {device.name: device}, 4, fixed
    )
    points = space.points(Shape("m", "ecp5-85k", 7, 4, 1))
    assert points
    for one in points:
        assert fixed.items() <= dict(one.config.items()).items()


def test_the_front_is_what_no_other_candidate_beats_in_everything():
    source = random.Random(3)
    found = [
        Candidate(
            point(
                luts=source.randint(1, 9), latency=source.randint(1, 9) * 1000,
                per_image=float(source.randint(1, 9)), dsps=source.randint(1, 3),
                device=source.choice(["ecp5-25k", "ecp5-85k"]),
            )
        )
        for _ in range(150)
    ]  # fmt: skip
    front = choice.front(found)
    values = {choice.objectives(c) for c in front}
    assert len(values) == len(front)
    for c in found:
        mine = choice.objectives(c)
        beaten = any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
            for other in map(choice.objectives, found)
        )
        assert (mine in values) is not beaten


def test_what_is_placed_is_recommended_before_any_estimate():
    usage = {"luts": 900, "ffs": 1, "dsps": 1, "brams": 1, "sprams": 0, "carries": 0}
    faster = Candidate(point(rows=9, per_image=10.0))
    placed = Candidate(point(rows=8, per_image=1000.0), usage=usage, mhz={1: 80.0, 2: 90.0})
    found = choice.recommend([faster, placed], Wishes())
    assert found.candidate is placed
    assert found.meets
    assert "90,000 images/s" in found.sentence
    assert "place and route" in found.sentence
    assert "estimated" in choice.recommend([faster], Wishes()).sentence


def test_with_a_latency_to_meet_the_cheapest_part_that_does_it_is_recommended():
    dear = Candidate(point(device="ecp5-85k", latency=1000, per_image=100.0))
    cheap = Candidate(point(device="ecp5-25k", latency=3000, per_image=900.0))
    assert choice.recommend([dear, cheap], Wishes()).candidate is dear
    assert choice.recommend([dear, cheap], Wishes(max_latency_ms=0.05)).candidate is cheap
    assert choice.recommend([dear, cheap], Wishes(max_latency_ms=0.02)).candidate is dear


def test_where_nothing_meets_the_demands_the_nearest_is_named_with_both_numbers():
    near = Candidate(point(luts=1200, rows=7))
    far = Candidate(point(luts=5000))
    found = choice.recommend([far, near], Wishes(max_luts=1000))
    assert not found.meets
    assert found.candidate is near
    assert found.sentence.startswith("Nothing meets at most 1,000 LUTs; the nearest is m on 7 x 6")
    assert "1,200 LUTs for 1,000" in found.sentence


def test_a_core_that_does_not_fit_is_never_recommended_as_fitting():
    found = choice.recommend([Candidate(point(luts=30_000))], Wishes())
    assert not found.meets
    assert "30,000 luts of 24,288" in found.sentence


def test_yosys_comes_before_place_and_route_before_more_seeds():
    usage = {"luts": 900, "ffs": 1, "dsps": 1, "brams": 1, "sprams": 0, "carries": 0}
    found = [Candidate(point(rows=r, per_image=900.0 / r, luts=99 * r)) for r in range(14, 4, -1)]
    first = next_jobs(found, Wishes(), 0.1, 2)
    assert [job.seed for job in first] == [0, 0]
    assert first[0].key == found[0].point.key, "the best by its estimate comes first"
    for c in found[:3]:
        c.usage = usage
    assert {job.seed for job in next_jobs(found, Wishes(), 0.6, 2)} == {1}
    found[1].mhz = {1: 99.0}
    repeats = next_jobs(found, Wishes(), 0.9, 3)
    assert [(job.key, job.seed) for job in repeats] == [(found[1].point.key, s) for s in (2, 3, 4)]
    assert next_jobs(found, Wishes(), 1.0, 2) == []


def test_what_has_a_name_on_its_device_is_built_however_full_it_makes_it():
    own = Candidate(replace(point(luts=24_000), config=NAMED["ecp5-25k"]))
    roomy, full = Candidate(point(rows=5)), Candidate(point(rows=7, luts=24_000, per_image=1.0))
    first = next_jobs([roomy, full, own], Wishes(), 0.1, 2)
    assert [job.key for job in first] == [own.point.key]
    own.usage = {"luts": 24_000, "ffs": 1, "dsps": 1, "brams": 1, "sprams": 0, "carries": 0}
    (second,) = next_jobs([roomy, full, own], Wishes(), 0.1, 2)
    assert (second.key, second.seed) == (own.point.key, 1), "the bar is placed before others"
    own.mhz = {1: 90.0}
    assert roomy.point.key in {j.key for j in next_jobs([roomy, full, own], Wishes(), 0.1, 2)}
    assert full.point.key not in {j.key for j in next_jobs([roomy, full, own], Wishes(), 0.1, 2)}


def test_a_worker_finds_what_yosys_and_nextpnr_find_here():
    cfg, device = named("tiny"), DEVICES["ecp5-25k"]
    built = synthesize(cfg, device, Scope.ARRAY, tell=lambda _: None)
    jobs = [Job("a", device.name, dict(cfg.items()), s, scope=Scope.ARRAY) for s in (0, 1)]
    with Farm(workers=1) as farm:
        found = dict(farm.map(carry_out, jobs))
    assert found[0]["usage"] == found[1]["usage"] == built.usage.record()
    assert "mhz" not in found[0]
    assert found[1]["mhz"] == built.place(1, tell=lambda _: None).frequencies[0]
    assert found[0]["worker"] != os.getpid()


def test_a_missing_tool_is_no_failure_of_the_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    tools.tool.cache_clear()
    try:
        with pytest.raises(tools.SynthesisError, match="synthesis needs yosys"):
            carry_out(Job("a", "up5k", dict(Config().items())))
    finally:
        tools.tool.cache_clear()


def test_what_place_and_route_cannot_do_is_kept_as_a_failure_with_its_reason(monkeypatch):
    def too_large(*_, **__):
        raise tools.SynthesisError("this does not fit up5k: it needs 9 dsps of 8")

    monkeypatch.setattr("host.explore.work.synthesize", too_large)
    found = carry_out(Job("a", "up5k", dict(Config().items())))
    assert found == {"failure": "this does not fit up5k: it needs 9 dsps of 8"}


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_the_resource_model_is_off_by_a_tenth_at_most_on_what_it_was_not_fitted_to(family):
    errors = resources.model(family).errors()
    assert errors["luts"] <= 0.10
    assert errors["ffs"] <= 0.10
    assert errors["dsps"] <= 0.02
    assert errors["brams"] <= 0.05


def test_points_held_back_decide_nothing():
    points = resources.read(resources.POINTS, "ecp5")
    held = resources.HELD_BACK
    wrong = [
        {**p, "luts": 10 * p["luts"]} if i % held == held - 1 else p for i, p in enumerate(points)
    ]
    cfg, device = Config(), DEVICES["ecp5-85k"]
    assert Model("ecp5", wrong)(cfg, device) == Model("ecp5", points)(cfg, device)
    assert Model("ecp5", wrong).errors()["luts"] > 0.8


def test_a_search_goes_on_where_it_was_and_loses_nothing(graph, tmp_path):
    path, models = tmp_path / "search.db", {"ecp5": Flat("ecp5")}

    def run(shapes):
        question = Question({"m": graph}, ("ecp5-25k",), 2, budget_s=0, shapes=shapes)
        return explore(question, path, Watcher(), models)

    first = run(6)
    again = run(6)
    assert again.evaluated == len(NAMED)
    assert [c.record() for c in again.candidates] == [c.record() for c in first.candidates]
    more = run(10)
    assert more.evaluated > len(NAMED)
    known = {c.point.key for c in more.candidates}
    assert known > {c.point.key for c in first.candidates}


def test_measured_results_are_there_again_after_a_stop(graph, tmp_path):
    path, models = tmp_path / "search.db", {"ecp5": Flat("ecp5")}
    question = Question({"m": graph}, ("ecp5-25k",), 2, budget_s=0, shapes=4)
    first = explore(question, path, Watcher(), models)
    key = first.candidates[0].point.key
    usage = {"luts": 77, "ffs": 1, "dsps": 1, "brams": 1, "sprams": 0, "carries": 0}
    with Store(path, question.identity()) as kept:
        for study, seed, more in ((store.SYNTHESES, 0, {}), (store.PLACEMENTS, 3, {"mhz": 88.5})):
            job = {"key": key, "device": "ecp5-25k", "fields": {}, "seed": seed}
            kept.keep(study, 77.0, {"job": job, "result": {"usage": usage, **more}})
    again = explore(question, path, Watcher(), models)
    measured = next(c for c in again.candidates if c.point.key == key)
    assert (measured.usage, measured.mhz) == (usage, {3: 88.5})


DAMAGE = {
    "no database": lambda path: path.write_bytes(b"not a database, whatever its name says" * 99),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:30_000]),
    "another database": lambda path: (path.unlink(), sqlite3.connect(path).executescript(
        "CREATE TABLE study_user_attributes (key TEXT, value_json TEXT)")),
    "another version": lambda path: change(path, '"version": 1', '"version": 0'),
    "another gateware": lambda path: change(path, '"gateware": "', '"gateware": "0'),
    "another compiler": lambda path: change(path, '"compiler": "', '"compiler": "0'),
    "another synthesis": lambda path: change(path, '"synthesis": "', '"synthesis": "0'),
}  # fmt: skip
SAID = {
    "no database": "is damaged or no search",
    "cut off": "is damaged or no search",
    "another database": "is no search of `lepton explore`",
    "another version": "is a search of another version (0, not 1)",
    "another gateware": "is a search of another gateware",
    "another compiler": "is a search of another compiler",
    "another synthesis": "is a search of another synthesis",
}


def change(path, old, new):
    with sqlite3.connect(path) as db:
        db.execute("UPDATE study_user_attributes SET value_json = replace(value_json, ?, ?)",
                   (old, new))  # fmt: skip
    db.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a search that ended."""
    folder = tmp_path_factory.mktemp("explore")
    assert execute([*MODELS, "--device", "ecp5-25k", "--out", str(folder)]) == 0
    return folder


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_store_that_is_not_of_this_search_is_refused_and_left(
    kind, finished, tmp_path, capsys
):  # fmt: skip
    path = shutil.copytree(finished, tmp_path / "copy") / "search.db"
    DAMAGE[kind](path)
    before = path.read_bytes()
    capsys.readouterr()
    assert execute([*MODELS, "--device", "ecp5-25k", "--out", str(path.parent)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lepton: ")
    assert SAID[kind] in last
    assert "name another --out" in last
    assert path.read_bytes() == before


def test_two_searches_at_once_do_not_share_a_folder(finished, capsys):
    identity = json.loads(
        sqlite3.connect(finished / "search.db")
        .execute("SELECT value_json FROM study_user_attributes").fetchone()[0]
    )  # fmt: skip
    with Store(finished / "search.db", identity):
        assert execute([*MODELS, "--device", "ecp5-25k", "--out", str(finished)]) == 2
    assert "another search is at work" in capsys.readouterr().err


def test_a_finished_search_leaves_all_files_and_says_what_is_estimated(finished, capsys):
    names = {path.name for path in finished.iterdir()}
    assert names >= {"report.html", "report.png", "points.csv", "result.json", "search.db"}
    values = json.loads((finished / "result.json").read_text())
    assert values["recommended"]["state"] == "estimated"
    assert values["recommended"]["luts_measured"] is None
    assert "all estimated, nothing of it built yet" in values["reason"]


def test_compressed_forms_that_ship_are_variants_with_their_accuracy(finished, capsys):
    shipped = catalog.variants_of("lenet5-mnist")
    assert shipped
    values = json.loads((finished / "result.json").read_text())
    assert list(values["variants"]) == ["lenet5-mnist", *shipped]
    assert all(0.9 < accuracy < 1 for accuracy in values["variants"].values())
    assert {p["variant"] for p in values["points"]} <= set(values["variants"])


def test_what_cannot_be_met_ends_with_1_and_the_nearest(tmp_path, capsys):
    code = execute([*MODELS, "--device", "ecp5-25k", "--max-luts", "10", "--out", str(tmp_path)])
    assert code == 1
    assert "Nothing meets at most 10 LUTs; the nearest is" in " ".join(
        capsys.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "up6k"), "no device is named 'up6k'; there are up5k"),
        (("--batch", "4", "--set", "lanes=3"), "contradict each other: a batch is a multiple"),
        (("--set", "rows=3", "--set", "rows=4"), "contradict each other; a field has one value"),
        (("--batch", "16", "--max-latency", "0.001"), "contradict each other: its input alone"),
        (("--max-latency", "0"), "leaves no time at all"),
        (("--max-luts", "0"), "--max-luts"),
        (("--set", "acc_depth=3"), "acc_depth=3 is not an integer from 4"),
        (("--set", "weight_depth=5"), "the search space is empty: none of"),
        (("--set", "depth=5"), "no field 'depth'"),
        (("--variant", "lenet-cifar10"), "comes from lenet-cifar10, not from lenet5-mnist"),
        (("--variant", "nowhere"), "no model is called 'nowhere'"),
        (("--out", "/dev/null/x"), "/dev/null/x cannot be written"),
        (("--json", "/nowhere/x.json"), "/nowhere/x.json cannot be written"),
    ],
    ids=lambda value: "".join(value).replace("/", "|") if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute([*MODELS, *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("lepton: ")
    assert said in last


def test_a_scheduler_that_is_not_there_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("host.farm.CONNECT_S", 1)
    arguments = ["explore", "lenet5-mnist", "--device", "ecp5-25k", "--shapes", "2", "--out",
                 str(tmp_path), "--scheduler", "tcp://127.0.0.1:9"]  # fmt: skip
    assert execute(arguments) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err


def report_of_interrupted(process, out):
    """Ctrl-C ends the command as one is to be ended, and leaves a report."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "lepton: interrupted"
    values = json.loads((out / "result.json").read_text())
    assert values["interrupted"]
    assert values["points"]
    return values


def test_an_interrupt_leaves_a_report_of_what_is_known(tmp_path):
    code = "import sys; from host.cli import main; main()"
    arguments = ["explore", "lenet5-mnist", "--device", "any", "--budget-minutes", "0",
                 "--shapes", "900", "--batch", "8", "--out", str(tmp_path / "out")]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    database = tmp_path / "out" / "search.db"
    until = time.monotonic() + 90
    while not kept(database):
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.2)
    report_of_interrupted(process, tmp_path / "out")


def test_a_whole_run_places_what_it_recommends_with_several_seeds(tmp_path):
    """With tools that take no time, and 50 MHz and 10 more for each number of a seed."""
    folder = tmp_path / "tools"
    folder.mkdir()
    trace = synth_tools.install(folder, luts=7)
    environment = {
        **os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "LEPTON_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    sizes = {"rows": 3, "cols": 2, "lanes": 1, "weight_ports": 1, "requantizers": 1,
             "acc_depth": 128, "scratchpad_bytes": 8192}  # fmt: skip
    changes = [word for name, value in sizes.items() for word in ("--set", f"{name}={value}")]
    arguments = ["explore", "lenet5-mnist", "--plain", "--device", "ecp5-25k", *changes,
                 "--shapes", "1", "--workers", "1", "--budget-minutes", "5",
                 "--out", str(tmp_path / "out")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "from host.cli import main; main()", *arguments], cwd=ROOT,
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    best = json.loads((tmp_path / "out" / "result.json").read_text())["recommended"]
    assert best["state"] == "placed"
    assert best["mhz_by_seed"] == {str(seed): 50.0 + 10 * seed for seed in range(1, 6)}
    assert best["luts_measured"] == 7
    assert best["images_per_s_measured"] == pytest.approx(100e6 / best["cycles_per_image"], 1e-3)
    assert "at the frequency that place and route reached" in " ".join(done.stdout.split())
    assert trace.read_text().split().count("nextpnr") >= 5


def test_an_interrupt_of_yosys_leaves_a_report_and_no_yosys(tmp_path):
    folder, started = tmp_path / "tools", tmp_path / "started"
    folder.mkdir()
    synth_tools.install(folder, yosys_sleep=300)
    environment = {
        **os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "STARTED": str(started),
        "LEPTON_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    arguments = ["explore", "lenet5-mnist", "--plain", "--device", "ecp5-25k", "--set", "rows=3",
                 "--set", "cols=2", "--set", "lanes=1", "--shapes", "1", "--workers", "1",
                 "--budget-minutes", "9", "--out", str(tmp_path / "out")]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", "from host.cli import main; main()", *arguments], cwd=ROOT,
        env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.2)
    values = report_of_interrupted(process, tmp_path / "out")
    assert {p["state"] for p in values["points"]} == {"estimated"}
    assert not Path(f"/proc/{started.read_text()}").exists(), "Yosys still runs"


def kept(database: Path) -> bool:
    """Whether the search has found something that fits."""
    if not database.exists():
        return False
    with sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True) as db:
        found = db.execute(
            "SELECT count(*) FROM trial_user_attributes WHERE value_json != '[]'"
        ).fetchone()[0]
    db.close()
    return found > 3
