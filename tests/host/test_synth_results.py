"""benchmarks/synth.json: how it is written, and held against the gateware of now."""

import json

import pytest

from host.cli import execute
from host.synth import benchmark
from host.synth.benchmark import CASES, Case
from host.synth.tools import Unfinished
from tests.host import synth_tools
from tests.host.test_synth import bench as bench  # a fixture: stand-ins for the tools
from tests.host.test_synth import refusal

UP5K = next(case for case in CASES if case.config == "up5k")

ARRAY = next(case for case in CASES if case.scope == "array")


def check_luts(case, path=benchmark.RESULTS):
    """Runs Yosys unless the cache has the netlist of now."""
    check(case, path, luts=case.luts(tell=lambda text: None))


def check_cycles(case, path=benchmark.RESULTS):
    check(case, path, cycles=case.cycles()[0])


def check(case, path, **now):
    found = benchmark.results(path)
    command = f"lepton bench --synth --only '{case.name}', then python -m host.docs"
    assert case.name in found, f"it is not measured; run {command}"
    assert benchmark.risen(found[case.name], **now) == [], f"measure it again: {command}"


@pytest.mark.parametrize("case", [c for c in CASES if c.counted], ids=lambda case: case.name)
def test_luts_do_not_rise_without_a_new_results_file(case):
    check_luts(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.scope == "core"], ids=lambda c: c.name)
def test_cycles_do_not_rise_without_a_new_results_file(case):
    check_cycles(case)


def made_up(tmp_path, factor):
    """The results file, had it been written for a design that costs `factor` of the one of now."""
    row = dict(benchmark.results()[UP5K.name])
    row["luts"] = round(UP5K.luts(tell=lambda text: None) * factor)
    row["cycles_per_image"] = round(UP5K.cycles()[0] * factor)
    path = tmp_path / "synth.json"
    path.write_text(json.dumps({UP5K.name: row}))
    return path


@pytest.mark.parametrize("check_one", [check_luts, check_cycles], ids=["LUTs", "cycles"])
def test_a_rise_of_more_than_3_percent_fails_and_a_smaller_one_does_not(tmp_path, check_one):
    check_one(UP5K, made_up(tmp_path, 1 / 1.029))
    with pytest.raises(AssertionError, match="measure it again"):
        check_one(UP5K, made_up(tmp_path, 1 / 1.031))


def test_a_case_that_was_never_measured_fails(tmp_path):
    with pytest.raises(AssertionError, match="it is not measured; run lepton bench --synth --only"):
        check_cycles(UP5K, tmp_path / "none.json")


def test_what_has_risen_is_named_with_both_figures():
    row = {"luts": 1000, "cycles_per_image": 200.0}
    assert benchmark.risen(row, luts=1030, cycles=206) == []
    assert benchmark.risen(row, luts=1031, cycles=150) == ["luts: 1,031, +3.1% over 1,000"]
    assert benchmark.risen(row, cycles=207) == ["cycles per image: 207, +3.5% over 200"]


def run(path, *arguments):
    return execute(["bench", "--synth", "--out", str(path), *arguments])


def test_each_case_is_written_when_it_is_done_and_other_rows_stay(bench, tmp_path, monkeypatch):
    synth_tools.install(bench)
    path = tmp_path / "synth.json"
    kept = Case(config="tiny", device="ecp5-85k", scope=ARRAY.scope, seeds=3)
    first = Case(config="tiny", device="ecp5-25k", scope=ARRAY.scope, seeds=3)
    broken = Case(config="wide", device="ecp5-25k", scope=ARRAY.scope, seeds=3)
    monkeypatch.setattr(benchmark, "CASES", (kept, first, broken))
    assert run(path, "--only", "85k") == 0
    before = json.loads(path.read_text())
    build = benchmark.synthesize

    def fails(cfg, *others, **more):
        if cfg == broken.built:
            raise KeyboardInterrupt
        return build(cfg, *others, **more)

    monkeypatch.setattr(benchmark, "synthesize", fails)
    assert run(path) == 130
    found = json.loads(path.read_text())
    assert list(found) == [kept.name, first.name]
    assert found[kept.name] == before[kept.name]
    assert found[first.name]["fmax_mhz"]["seeds"] == 3


def test_rows_that_another_run_writes_meanwhile_stay(bench, tmp_path, monkeypatch):
    synth_tools.install(bench)
    path = tmp_path / "synth.json"
    slow = Case(config="tiny", device="ecp5-85k", scope=ARRAY.scope, seeds=1)
    quick = Case(config="tiny", device="ecp5-25k", scope=ARRAY.scope, seeds=1)
    monkeypatch.setattr(benchmark, "CASES", (slow, quick))
    build = benchmark.synthesize

    def another_runs(cfg, part, *others, **more):
        if part.name == slow.device:
            assert run(path, "--only", "25k") == 0
        return build(cfg, part, *others, **more)

    monkeypatch.setattr(benchmark, "synthesize", another_runs)
    assert run(path, "--only", "85k") == 0
    assert list(benchmark.results(path)) == [slow.name, quick.name]


def test_a_case_of_which_no_seed_is_routed_does_not_keep_the_next_from_being_measured(
    bench, tmp_path, monkeypatch, capsys
):
    synth_tools.install(bench)
    path = tmp_path / "synth.json"
    endless = Case(config="tiny", device="ecp5-85k", scope=ARRAY.scope, seeds=1)
    other = Case(config="tiny", device="ecp5-25k", scope=ARRAY.scope, seeds=1)
    monkeypatch.setattr(benchmark, "CASES", (endless, other))
    build = benchmark.synthesize

    def given_up(cfg, part, *others, **more):
        if part.name == endless.device:
            raise Unfinished("no seed from 1 to 1 was routed in 60 minutes")
        return build(cfg, part, *others, **more)

    monkeypatch.setattr(benchmark, "synthesize", given_up)
    assert run(path) == 2
    said = capsys.readouterr().err
    assert "no seed from 1 to 1 was routed in 60 minutes" in said
    assert f"lepton: no seed was routed of {endless.name}: " in said
    assert list(benchmark.results(path)) == [other.name]


def test_fewer_seeds_are_noted_in_the_row_and_shown_as_they_are_placed(
    bench, tmp_path, monkeypatch, capsys
):
    synth_tools.install(bench)
    path = tmp_path / "synth.json"
    case = Case(config="tiny", device="ecp5-25k", scope=ARRAY.scope, seeds=3)
    monkeypatch.setattr(benchmark, "CASES", (case,))
    for count, shown in (("2", "2 of 3"), ("0", "0 of 3"), ("9", "3")):
        assert run(path, "--seeds", count) == 0
        placed = min(int(count), 3)
        said = capsys.readouterr().err
        assert f"({placed} of {placed})" in said or not placed
        found = benchmark.results(path)
        assert len(found[case.name]["seeds_mhz"]) == placed
        (row,) = benchmark.rows(found)
        assert row[benchmark.HEAD.index("seeds")] == shown


def test_a_file_of_something_else_is_refused_and_left_alone(bench, tmp_path, capsys):
    synth_tools.install(bench)
    path = tmp_path / "notes.json"
    for text in ("dear diary", '["a"]'):
        path.write_text(text)
        said = refusal(capsys, "bench", "--synth", "--out", path, "--only", "array")
        assert said == f"lepton: {path} holds no results of lepton bench --synth; remove it"
        assert path.read_text() == text


def test_seeds_without_synth_are_refused(capsys):
    assert "--seeds goes with --synth only" in refusal(capsys, "bench", "--seeds", "2")
