"""`vlaeval audit`: the file's errors, the command, its pages; and that the docs are what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vla_eval.audit import audit, parse_claims, shipped_claims
from vla_eval.audit.export import to_json
from vla_eval.audit.figure import draw
from vla_eval.audit.pages import html_page, markdown_page
from vla_eval.cli import main
from vla_eval.drawing.svg import WIDE, standalone
from vla_eval.errors import UsageError

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = "vlaeval audit --markdown docs/audit.md --picture docs/images/audit.svg"

HEAD = """
schema_version = 1
title = "mine"
[sources.here]
title = "a paper <with & signs>"
short = "paper"
arxiv = "2601.00001"
"""
RATES = """
[[claims]]
id = "one"
kind = "rates"
source = "here"
where = "table 1"
says = "as good as | the *teacher*"
asserts = "parity"
candidate = { name = "student <b>", percent = "97.3", n = 300 }
reference = { name = "teacher", successes = 291, n = 300 }
same_episodes = true
"""


@pytest.fixture(scope="module")
def shipped():
    return audit(shipped_claims())


@pytest.mark.long
def test_the_page_in_the_docs_is_what_the_command_writes(shipped):
    """Whoever changes a claim, or how it is judged, runs the command in the page's first line."""
    page = markdown_page(shipped, picture="images/audit.svg", command=COMMAND)
    assert (DOCS / "audit.md").read_text(encoding="utf-8") == page, f"run: {COMMAND}"


@pytest.mark.long
def test_the_picture_in_the_docs_shows_the_same_numbers(shipped):
    """Its words are compared, since its curves depend on the version of matplotlib."""

    def texts(markup: str) -> list[str]:
        return re.findall(r"<text[^>]*>([^<]*)</text>", markup)

    drawn = standalone(draw(shipped, WIDE))
    committed = (DOCS / "images/audit.svg").read_text(encoding="utf-8")
    assert texts(committed) == texts(drawn), f"run: {COMMAND}"
    assert "var(--" not in committed
    assert len(texts(committed)) > 80


@pytest.mark.long
def test_the_json_of_an_audit_has_what_was_judged(shipped):
    """Claims of single tasks have the interval over tasks; others have not."""
    claims = {each["id"]: each["comparison"] for each in to_json(shipped)["claims"]}
    for audited in shipped.claims:
        made, comparison = claims[audited.claim.id], audited.comparison
        if comparison is None:
            assert made is None
            continue
        over_tasks = comparison.stratified90
        assert made.get("stratified90") == (None if over_tasks is None else [*over_tasks])
        assert ("training_seeds" in made) is (comparison.seeds is not None)
    assert any("stratified90" in made for made in claims.values() if made)


@pytest.mark.long
def test_links_in_the_page_lead_somewhere(shipped):
    """Every row of the summary links to a section of the page, and no name appears twice."""
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    anchors = re.findall(r'<a id="([^"]+)">', page)
    assert sorted(re.findall(r"\]\(#([^)]+)\)", page)) == sorted(anchors)
    assert len(anchors) == len(set(anchors)) == len(shipped.claims)


@pytest.mark.long
def test_pages_are_stable_and_escape_what_they_quote():
    """Equal input gives equal bytes; names with signs harm neither HTML nor a Markdown table."""
    found = audit(parse_claims(HEAD + RATES, "x"))
    page = html_page(found, command="vlaeval audit x")
    assert page == html_page(found, command="vlaeval audit x")
    assert "student &lt;b&gt;" in page
    assert "<b>," not in page
    row = next(line for line in markdown_page(found, command="x").splitlines() if "[one]" in line)
    assert "as good as \\| the \\*teacher\\*" in row
    assert "src=" not in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("n = 300 }\nref", "n = 300, m = 1 }\nref"), "unknown key 'claim 'one'.candidate.m'"),
        (('asserts = "parity"\n', ""), "'claim 'one'.asserts' is missing"),
        (('source = "here"', 'source = "hree"'), "no source 'hree'; did you mean 'here'"),
        (("successes = 291", "successes = 301"), "301 successes in 300 episodes cannot be"),
        (("successes = 291, ", ""), "give either successes or percent"),
        (('percent = "97.3"', "percent = 97.3"), "claim 'one'.candidate.percent"),
        (('percent = "97.3"', 'percent = "197.3"'), "claim 'one'.candidate.percent"),
        (('kind = "rates"', 'kind = "rate5"'), "claim 'one'"),
        (("same_episodes = true", 'negative_control = "two"'), "'two' is no rates claim"),
        (("[[claims]]", "[[claims]"), "not valid TOML"),
        (("schema_version = 1", "schema_version = 2"), "schema_version"),
        (('title = "mine"', 'title = "mine"\nmargins = [0.1, 0.05]'), "margins must ascend"),
    ],
)
def test_a_wrong_file_is_one_sentence(change, message):
    """It names the file, the claim and the key."""
    text = HEAD + RATES
    assert change[0] in text
    with pytest.raises(UsageError, match=re.escape(message)) as raised:
        parse_claims(text.replace(*change), "mine.toml")
    assert str(raised.value).startswith("mine.toml: ")
    assert "\n" not in str(raised.value)


def test_two_claims_of_one_name_are_refused():
    """An id is a link."""
    with pytest.raises(UsageError, match="two claims have the id 'one'"):
        parse_claims(HEAD + RATES + RATES, "x")


@pytest.mark.long
def test_the_command(tmp_path, capsys):
    """JSON, pages and one claim in full; a wrong id or file is exit code 4."""
    file = tmp_path / "mine.toml"
    file.write_text(HEAD + RATES, encoding="utf-8")
    html, page, picture = (tmp_path / name for name in ("a.html", "a.md", "pictures/a.svg"))
    picture.parent.mkdir()
    out = ["--html", str(html), "--markdown", str(page), "--picture", str(picture)]
    assert main(["audit", str(file), "--json", *out]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["findings"] == {"supported": 1}
    assert value["post_hoc"] is True
    (claim,) = value["claims"]
    assert claim["source"]["arxiv"] == "2601.00001"
    assert [each["verdict"] for each in claim["comparison"]["at"]] == ["equivalent", "equivalent"]
    assert (
        claim["comparison"]["tango90"]["nested"][0] > claim["comparison"]["tango90"]["disjoint"][0]
    )
    assert "](pictures/a.svg)" in page.read_text()
    assert picture.read_text().startswith("<?xml")
    assert main(["audit", str(file), "--claim", "one"]) == 0
    shown = capsys.readouterr().out
    assert "one: as good as" in shown
    assert "Had the same episodes been paired" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert main(["audit", str(file), "--claim", "on"]) == 4
    assert "did you mean 'one'?" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "none.toml")]) == 4
    assert "there is no such file" in capsys.readouterr().err
