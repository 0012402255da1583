"""The report's pictures: which step is decisive, and what happens where there are none."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from fakes.pages import Page
from vla_eval.certificate import Roles, gather, issue
from vla_eval.certificate.page import write_reports
from vla_eval.certificate.page.view import Discordant, Strip, Strips, discordant
from vla_eval.errors import InfrastructureError
from vla_eval.view import pictures
from vla_eval.view.pictures import decisive_step, strips_of
from vla_eval.view.site import linked_report

ROLES = Roles("student", "teacher")


@pytest.fixture
def evidence(run):
    return gather(run, ROLES)


def parted(evidence, winner, loser) -> int:
    """Return the decisive step if the two arms reached these parts of the task at these steps."""
    first = discordant(evidence)[0]
    records = (
        record.model_copy(update={"subgoal_steps": steps})
        for record, steps in ((first.winner, winner), (first.loser, loser))
    )
    return decisive_step(Discordant(first.key, *records))


def test_the_decisive_step(evidence):
    """When the winner reached what the loser never did; without such a part, the winner's end."""
    end = discordant(evidence)[0].winner.steps
    assert parted(evidence, {"half": 8, "goal": 20}, {"half": 9}) == 20
    assert parted(evidence, {"half": 8, "goal": 20}, {}) == 8
    assert parted(evidence, {"half": 8}, {"half": 9, "goal": 30}) == end
    assert parted(evidence, None, {"half": 9}) == end


def test_foreign_environments_are_not_run(evidence, run):
    """Judging a run must not run code that its folder names; the reason is given."""
    strips = strips_of(evidence, run)
    assert strips.drawn == {}
    assert "--trust" in strips.missing_because


def test_a_picture_that_fails_leaves_the_others(evidence, run):
    """Each is kept under its episode and its arm; of a failure the reason is kept."""
    pair = discordant(evidence)[0]
    orders = [
        pictures._Order(run, record, None, (0, 8, record.steps))
        for record in (pair.winner, pair.loser)
    ]
    drawn, failed = Future(), Future()
    drawn.set_result(b"RIFF")
    failed.set_exception(InfrastructureError("no GL"))
    strips, reasons = pictures._collected(orders, [failed, drawn])
    assert strips == {(str(pair.key), pair.loser.arm): Strip(b"RIFF", (0, 8, pair.loser.steps))}
    assert len(reasons) == 1
    assert "no GL" in reasons[0]


def test_the_page_holds_its_pictures_in_itself(evidence, run, tmp_path):
    """Each arm's strip with its steps in words; without pictures the page may load none."""
    pair = discordant(evidence)[0]
    drawn = {(str(pair.key), pair.loser.arm): Strip(b"RIFF", (0, 8, 40))}
    certificate = issue(run, ROLES)
    for strips, count in ((Strips(drawn), 1), (None, 0)):
        file, _ = write_reports(certificate, evidence, run, tmp_path / "certificate.json", strips)
        text = file.read_text()
        page = Page(text)
        assert page.tags["img"] == count
        assert ("img-src data:" in text) == bool(count)
        assert text.count("steps 0, 8, 40") == count
        assert all(each.startswith(("#", "data:image/webp")) for each in page.references)


def test_keys_of_a_report_lead_to_the_viewer(evidence, run, tmp_path):
    """In the viewer's copy each discordant episode is a link; the report itself stays as it is."""
    file, _ = write_reports(issue(run, ROLES), evidence, run, tmp_path / "certificate.json")
    html = file.read_text()
    linked = linked_report(html, evidence.keys).decode()
    for pair in discordant(evidence):
        assert f'<a href="index.html#key={pair.key}"><code>{pair.key}</code></a>' in linked
    assert "index.html" not in html
