"""The explorer's page in a browser without a network: hover tells, click copies."""

import csv
import json
import os
import shutil
import time

import pytest

from host.explore import choice, report
from host.explore.choice import Candidate, Wishes
from host.explore.cycles import Cycles
from host.explore.resources import Estimate
from host.explore.run import Answer, Question
from host.explore.space import Point
from hw.config import Config

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")


def candidate(rows: int, luts: int, **measured) -> Candidate:
    """A made-up point; the report is what is tested, not what it says."""
    cycles = Cycles(900_000 / rows, 1_000_000 // rows, 500, 1000, 64, 8000)
    estimate = Estimate(luts, luts // 2, rows, 12, 0, 100.0)
    point = Point("lenet5-mnist", "ecp5-25k", 4, Config(rows=rows), cycles, estimate)
    return Candidate(point, **measured)


@pytest.fixture
def answer() -> Answer:
    usage = {"luts": 7100, "ffs": 5000, "dsps": 9, "brams": 12, "sprams": 0, "carries": 0}
    found = [
        candidate(8, 6000),
        candidate(9, 7000, usage=usage),
        candidate(12, 9000, usage={**usage, "luts": 9100}, mhz={1: 97.5, 2: 99.25}),
    ]
    question = Question({"lenet5-mnist": None}, ("ecp5-25k",), 4)  # type: ignore[dict-item]
    errors = {"ecp5": {"luts": 0.061}}
    best = choice.recommend(found, Wishes())
    return Answer(question, found, choice.front(found), best, 1000, 0.9, errors)


def test_files_for_scripts_keep_measured_and_estimated_apart(answer, tmp_path):
    report.write(answer, tmp_path)
    values = json.loads((tmp_path / report.RESULT).read_text())
    assert values["recommended"]["luts_measured"] == 9100
    assert values["recommended"]["luts_estimated"] == 9000
    by_state = {p["state"]: p for p in values["points"]}
    assert by_state["estimated"]["luts_measured"] is None
    assert by_state["synthesized"]["luts_measured"] == 7100
    assert by_state["synthesized"]["images_per_s_measured"] is None
    assert by_state["placed"]["mhz_by_seed"] == {"1": 97.5, "2": 99.25}
    with (tmp_path / report.TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rows"] for row in rows] == ["12", "9", "8"]
    assert rows[2]["luts_measured"] == ""
    assert rows[0]["command"].startswith("lepton synth --device ecp5-25k --set rows=12 ")
    assert (tmp_path / report.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_the_page_loads_nothing_from_anywhere(answer):
    text = report.page(answer)
    assert "<script src" not in text
    assert "<link" not in text
    assert "Plotly.newPlot" in text


@pytest.mark.skipif(
    not (CHROMIUM and DRIVER) and "LEPTON_NEEDS_BROWSER" not in os.environ,
    reason="no chromium with chromedriver on PATH: apt install chromium chromium-driver",
)
def test_in_a_browser_hover_tells_and_click_copies(answer, tmp_path):
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService
    from selenium.webdriver.common.action_chains import ActionChains

    report.write(answer, tmp_path)
    settings = ChromeOptions()
    settings.binary_location = str(CHROMIUM)
    # No name is resolved: whatever the page asked the network for would fail, and show.
    for option in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage",
                   "host-resolver-rules=MAP * ~NOTFOUND", "window-size=1300,1000",
                   f"user-data-dir={tmp_path / 'profile'}"):  # fmt: skip
        settings.add_argument(f"--{option}")
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(settings, ChromeService(DRIVER)) as browser:
        browser.get((tmp_path / report.PAGE).absolute().as_uri())
        wait(lambda: browser.execute_script("return document.querySelectorAll('.point').length"))
        errors = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
        assert errors == []
        point = browser.execute_script(
            "const t = document.querySelectorAll('.scatterlayer .trace');"
            "return [...t].map(x => x.querySelector('.point'))[0]"
        )
        ActionChains(browser).move_to_element(point).perform()
        told = wait(
            lambda: browser.execute_script(
                "return document.querySelector('.hoverlayer')?.textContent"
            )
        )
        assert "lenet5-mnist on 8 x 6 on ecp5-25k" in told
        assert "LUTs 6,000 estimated" in told
        ActionChains(browser).click().perform()
        expected = choice.command(answer.candidates[0].point)
        wait(
            lambda: (
                browser.execute_script("return document.getElementById('copied').textContent")
                == f"copied: {expected}"
            )
        )
        browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite"]})
        pasted = browser.execute_async_script(
            "navigator.clipboard.readText().then(arguments[0], e => arguments[0](String(e)))"
        )
        assert pasted == expected


def wait(condition, seconds: float = 20):
    """What the condition says once it holds."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, "the browser did not get there"
        time.sleep(0.1)
