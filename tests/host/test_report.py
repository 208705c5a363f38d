"""`lepton report`: its rows are what the cost model says of each choice, the last the core's."""

import json
import shutil

import pytest
from matplotlib.patches import Rectangle

from host import catalog, compress
from host import report as reporting
from host.cli import execute
from host.compiler import compile
from host.cost import predict
from host.errors import LeptonError
from hw.config import named

MODEL, SMALL = "lenet5-mnist", "lenet5-mnist-small"


@pytest.fixture(autouse=True)
def wide_terminal_without_colors(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report on a core with nothing more than the plain one, which other tests have built."""
    place = tmp_path_factory.mktemp("report")
    core = ["--lanes", "1", "--weight-ports", "1", "--batch", "4", "--images", "8"]
    files = ["--json", str(place / "report.json"), "-o", str(place / "report.png")]
    assert execute(["report", MODEL, *core, *files]) == 0
    return place


def subject(lanes=2, ports=3, batch=8, compressed=SMALL):
    config = named("default").with_fields({"lanes": lanes, "weight_ports": ports})
    return reporting.Subject(
        model=MODEL, compressed=compressed, config=config, config_name="default", batch=batch
    )


def cycles(model, batch, **fields):
    graph = catalog.find(model).quantize(16)
    folding = batch > fields.get("lanes", 1)
    program = compile(graph, named("default").with_fields(fields), batch=batch, folding=folding)
    return predict(program).cycles_per_image


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({}, lambda: cycles(MODEL, 1)),
        ({"lanes": True}, lambda: cycles(MODEL, 2, lanes=2)),
        ({"dataflow": True}, lambda: cycles(MODEL, 4)),
        ({"memory": True}, lambda: cycles(MODEL, 1, weight_ports=3)),
        ({"compression": True}, lambda: cycles(SMALL, 1)),
        (
            {"lanes": True, "dataflow": True, "memory": True, "compression": True},
            lambda: cycles(SMALL, 8, lanes=2, weight_ports=3),
        ),
    ],
    ids=lambda value: ", ".join(value) or "before" if isinstance(value, dict) else "",
)
def test_a_row_has_the_cycles_of_what_is_switched_on(choice, wanted):
    networks = [catalog.find(name).quantize(16) for name in (MODEL, SMALL)]
    entry = reporting._entry(subject(), networks, reporting.Choice(**choice), "", "")
    assert entry.cycles == wanted()


def test_the_factors_of_the_rows_multiply_to_the_whole(written):
    record = json.loads((written / "report.json").read_text())
    product = 1.0
    for row in record["rows"]:
        product *= row["factor"]
        assert row["total"] == pytest.approx(product)
        assert row["total"] == pytest.approx(record["rows"][0]["cycles"] / row["cycles"])
        assert row["factor_alone"] == pytest.approx(record["rows"][0]["cycles"] / row["alone"])
    titles = [row["title"] for row in record["rows"]]
    assert titles == ["before", "model split over lanes", "dataflow", "memory", "compression"]


def test_the_last_row_is_what_the_simulated_core_counts(written):
    record = json.loads((written / "report.json").read_text())
    assert (record["mismatched_bytes"], record["checked_bytes"]) == (0, 8 * 10)
    assert record["rtl_cycles"] == record["rows"][-1]["cycles"]
    assert record["total"] == pytest.approx(record["rows"][0]["cycles"] / record["rtl_cycles"])
    assert record["compressed"] == SMALL


def test_the_picture_is_a_png_with_a_bar_for_each_row(written):
    assert (written / "report.png").read_bytes().startswith(b"\x89PNG")
    networks = [catalog.find(name).quantize(16) for name in (MODEL, SMALL)]
    entries = tuple(
        reporting._entry(subject(), networks, reporting.Choice(), title, "") for title in "ab"
    )
    found = reporting.Report(
        subject=subject(), entries=entries, images=1, rtl_cycles=100.0, checked_bytes=10,
        mismatched_bytes=0, float_accuracy=1.0, accuracy=1.0,
    )  # fmt: skip
    bars = [bar for bar in reporting.chart(found).axes[0].patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in bars] == [*(e.cycles for e in entries), 100.0]


def test_the_table_shows_every_row_and_what_was_compared(capsys, written):
    core = ["--lanes", "1", "--weight-ports", "1", "--batch", "2", "--images", "2"]
    assert execute(["report", MODEL, *core]) == 0
    out = capsys.readouterr().out
    for text in ("+ model split over lanes", "+ compression", "everything, RTL"):
        assert text in out
    assert "0 of 20 bytes of the simulated core differ on 2 images" in out


def test_without_a_compressed_model_one_is_made(tmp_path, monkeypatch, capsys):
    asked = []

    def made(plan, out, watch):
        asked.append((plan.model, out))
        out.parent.mkdir(parents=True)
        shutil.copytree(catalog.variants()[SMALL], out)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "variants_of", lambda name: ())
    monkeypatch.setattr(compress, "compress", made)
    core = ["--lanes", "1", "--weight-ports", "1", "--batch", "1", "--images", "1"]
    for _ in range(2):
        assert execute(["report", MODEL, *core, "--json", "-"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["compressed"] == "build/compressed/lenet5-mnist"
    # The second time it is there.
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"batch": 7}, "a batch of 7 does not fill 2 lanes evenly; use a batch of 8"),
        ({"compressed": "lenet-cifar10"}, "lenet-cifar10 was not made from lenet5-mnist"),
    ],
    ids=str,
)
def test_what_cannot_be_reported_is_refused(fields, said):
    with pytest.raises(LeptonError, match=said):
        subject(**fields)


def test_a_picture_of_another_kind_is_refused(capsys, tmp_path):
    assert execute(["report", MODEL, "-o", str(tmp_path / "report.gif")]) == 2
    assert "the picture is written as .png, not as report.gif" in capsys.readouterr().err
