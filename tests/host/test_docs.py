"""README.md and docs/: tables are fresh, links lead somewhere, examples run."""

import re
from pathlib import Path

import pytest

from host import docs
from host.docs.markdown import described
from hw import config, isa

PAGES = docs.pages()
EXAMPLES = (docs.ROOT / "README.md", docs.ROOT / "docs" / "tutorial.md")


def name(page: Path) -> str:
    return str(page.relative_to(docs.ROOT))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def test_no_table_is_stale():
    assert [name(page) for page in docs.stale()] == [], "run python -m host.docs"


def test_every_table_stands_in_a_page():
    text = "".join(page.read_text() for page in PAGES)
    assert [t for t in docs.TABLES if docs.BEGIN.format(t) not in text] == []


def test_check_says_by_its_exit_code_that_a_table_is_stale(tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("<!-- begin causes -->\nold\n<!-- end causes -->\n")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs.stale, "__defaults__", (tmp_path,))
    assert docs.main(["--check"]) == 1
    assert "old" in (tmp_path / "README.md").read_text()
    assert docs.main([]) == 0
    assert "`TRUNCATED`" in (tmp_path / "README.md").read_text()
    assert docs.main(["--check"]) == 0
    assert "README.md is stale" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    ["<!-- begin nothing -->\n<!-- end nothing -->", "<!-- begin causes -->\n<!-- end layer -->"],
    ids=["unknown", "another end"],
)
def test_a_table_that_nobody_makes_is_refused(text):
    with pytest.raises(ValueError, match="there are requests"):
        docs.refreshed(text)


@pytest.mark.parametrize(
    ("module", "owner", "members"),
    [
        (config, "Config", config.LIMITS),
        (isa, "Packet", isa.Packet.__members__),
        (isa, "Reply", isa.Reply.__members__),
        (isa, "Cause", isa.Cause.__members__),
        (isa, "Op", isa.Op.__members__),
    ],
    ids=["Config", "Packet", "Reply", "Cause", "Op"],
)
def test_every_member_says_what_it_is_for(module, owner, members):
    assert set(members) <= set(described(module, owner))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", EXAMPLES, ids=name)
def test_the_example_runs(page, tmp_path, monkeypatch):
    """All of a page's Python together, in an empty folder."""
    code = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(code), name(page), "exec"), {})
    assert (tmp_path / "model.lepton").exists()
