"""sim/bench/run.py: what a bench that fails says."""

import os
from pathlib import Path

import pytest

from sim.bench import run as bench

FAILED = """<testsuites><testsuite><testcase name="layers_equal_the_reference">
<failure message="seed 3: layer conv1 (0, 2) is 5 and should be 6"/>
</testcase></testsuite></testsuites>
"""

PASSED = '<testsuites><testsuite><testcase name="all_is_well"/></testsuite></testsuites>'


@pytest.fixture
def simulator(tmp_path, monkeypatch):
    """A simulator that writes these results, or dies."""
    (tmp_path / "simulator").touch()

    def start(results):
        class Fake:
            def test(self, *, results_xml, log_file, **settings):
                Path(log_file).write_text("the last line of the log\n")
                if results is None:
                    raise SystemExit(1)
                Path(results_xml).write_text(results)

        monkeypatch.setattr(bench.cocotb_tools.runner, "Verilator", Fake)
        return tmp_path / "simulator"

    return start


def run(simulator, folder):
    (folder / "run").mkdir()
    bench.run(simulator, "core", "layers_equal_the_reference", folder / "run", {"seed": 1})


def test_a_failing_case_ends_with_one_line_that_runs_it_again(simulator, tmp_path, monkeypatch):
    monkeypatch.setenv(bench.SEEDS, "3")
    monkeypatch.setenv(bench.CONFIGS, "8")
    with pytest.raises(AssertionError) as error:
        run(simulator(FAILED), tmp_path)
    what, again = str(error.value).splitlines()
    assert what == ("layers_equal_the_reference: seed 3: layer conv1 (0, 2) is 5 and should be 6")
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    command = f"{bench.SEEDS}=3 {bench.CONFIGS}=8 python -m pytest '{test}'"
    assert again == f"reproduce with: {command}"


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (None, "the simulator died:\nthe last line"),
        ("<testsuites/>", "no test ran:\nthe last line"),
    ],
    ids=["dead", "none"],
)
def test_a_simulator_that_ran_no_test_has_failed(simulator, tmp_path, results, said):
    with pytest.raises(AssertionError, match=said):
        run(simulator(results), tmp_path)


def test_what_passes_says_nothing(simulator, tmp_path):
    run(simulator(PASSED), tmp_path)
