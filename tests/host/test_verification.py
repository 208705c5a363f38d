"""docs/verification.md: what the plan names exists, and it names everything that it must."""

import ast
import json
import re
from functools import cache

import pytest

from host.docs.markdown import ROOT

PAGE = (ROOT / "docs" / "verification.md").read_text()

NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))

ROWS = re.findall(r"^\| (?!---|feature)(.*) \|$", re.sub(r"<!-- begin.*?<!-- end", "", PAGE,
                  flags=re.DOTALL), re.MULTILINE)  # fmt: skip

NO_COMPONENTS = {"memory_zeros", "__init__", "errors", "few_pins", "rtlil", "target", "verilog"}
"""Of hw/: no core is made of these; they write it down, name parts of FPGAs, or measure it."""


@cache
def functions_of(file: str) -> set[str]:
    """Names of the functions in a file of tests/."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=["::".join(one) for one in NAMED])
def test_a_test_that_the_plan_names_exists(file, test):
    assert test.startswith("test_")
    assert test in functions_of(file)


def test_the_plan_names_many_tests():
    """So that the test above means something."""
    assert len(NAMED) > 80
    assert len(ROWS) > 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0][:60])
def test_every_line_of_the_plan_is_whole(row):
    feature, stimulus, check, tests, state = row.split(" | ")
    assert feature
    assert stimulus
    assert check
    assert re.search(r"`\S+::test_\w+`", tests), "it names no test"
    assert re.match(r"always|campaign|partly: ", state), state


def test_every_component_has_a_line():
    named = set(re.findall(r"`hw/(\w+)\.py`", PAGE))
    there = {path.stem for path in (ROOT / "hw").glob("*.py")}
    assert there - named - NO_COMPONENTS == set()
    assert named - there == set()


def test_every_target_that_the_plan_names_is_in_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", PAGE)) - targets == set()


def test_whatever_coverage_missed_has_a_reason():
    missed = json.loads((ROOT / "benchmarks" / "coverage.json").read_text())["missed"]
    assert missed
    assert [one for one in missed if not one["reason"]] == []
