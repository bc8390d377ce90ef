"""What was begun and is no finding any more: a report in which nobody could find it would hide a failure."""

from dataclasses import replace

from ml_janitor.core.model import Kept
from ml_janitor.core.results import Cause, CauseCode, Outcome
from ml_janitor.report.html import render_html
from reports import report_of, result, sweep
from tables import cases

WHY = Cause(
    CauseCode.NO_LONGER_WASTE, ("kept by maria",), then=Cause(CauseCode.REVERT_NOT_ASKED, ("denied <b>",))
)


def page(outcome: Outcome) -> str:
    """The report of a sweep that came upon an action, begun before, on what is kept by now."""
    kept = result("idle-endpoints", "half-done", Kept(reason="kept by maria"))
    begun = replace(kept, outcome=outcome, cause=WHY if outcome is not Outcome.KEPT else None)
    return render_html(report_of(sweep("idle-endpoints", begun)))


@cases(
    "outcome, part",
    (Outcome.FAILED, "troubles"),
    (Outcome.WAITING, "begun"),
    (Outcome.CHANGED, "begun"),
    (Outcome.ADVISED, "begun"),
    (Outcome.ACTED, "begun"),
)
def test_it_is_told_once_with_its_name_and_what_became_of_it(outcome: Outcome, part: str) -> None:
    told = page(outcome).partition(f'id="{part}"')[2].partition("</section>")[0]

    assert "half-done (idle-endpoints, us-east-1)" in told
    assert "what had been done is not put back: denied &lt;b&gt;." in told
    assert ("Failed: kept by maria" in told) is (outcome is Outcome.FAILED)
    assert page(outcome).count("half-done") == 1


def test_what_is_only_kept_is_not_told() -> None:
    assert 'id="begun"' not in page(Outcome.KEPT)
    assert "half-done" not in page(Outcome.KEPT)
