"""The HTML report without a browser: what a row holds, and what the page adds up and says."""

import gzip
import json
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from conftest import REGION
from fakes import target_at
from ml_janitor.core.model import Change, Cost, Evidence, Kept, Mode
from ml_janitor.core.results import (
    CauseCode,
    LimitHit,
    Outcome,
    Overlap,
    Result,
    Sweep,
    UnreachableUndos,
    make_cause,
)
from ml_janitor.core.text import escape_text
from ml_janitor.report import causes, html
from reports import ACCOUNT, DELETE, NOW, accruing, finding, report_of, result, standing, sweep
from scripted import Script
from tables import cases

IDLE = replace(
    finding("nobody calls it", standing("0.5"), unread="AccessDenied"),
    evidence=(Evidence("requests", 0), Evidence("opened by", error="AccessDenied")),
)


def test_a_row_tells_all_of_a_finding() -> None:
    target = target_at("endpoint/fraud", NOW - timedelta(days=90), {"team": "risk", "environment": "prod"})
    idle = replace(result("idle-endpoints", "fraud", IDLE, owner="maria"), target=target, hours=0.5)
    found = html.finding_fields(3, idle, accounts=True)

    assert {key: str(value) if key in {"link", "became"} else value for key, value in found.items()} == {
        "number": 3,
        "detector": "idle-endpoints",
        "name": "fraud",
        "arn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/fraud",
        "link": "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#/endpoints/fraud",
        "account": "123456789012",
        "place": "123456789012 us-east-1",
        "owner": "maria",
        "team": "risk",
        "confidence": "proven",
        "reason": "nobody calls it",
        "action": "Delete the endpoint",
        "monthly": 365.0,
        "accrued": 0.0,
        "status": "dry run",
        "urgent": False,
        "became": "Would delete the endpoint (its configuration and models stay).",
        "since": "2026-08-26 03:00 UTC",
        "created": "2026-07-08 03:00 UTC",
        "cost": "$365 a month",
        "work": "30 minutes",
        "worth": 730.0,
        "instead": "",
        "usd": 365.0,
        "marks": ["environment: prod"],
        "evidence": [
            {"signal": "requests", "value": "0"},
            {"signal": "opened by", "value": "could not be read: AccessDenied"},
        ],
    }
    assert html.script_entry(found)["text"] == (
        "fraud idle-endpoints 123456789012 us-east-1 maria risk nobody calls it "
        "Would delete the endpoint (its configuration and models stay)."
    )


@cases(
    "cost, numbers",
    (None, (-1.0, -1.0)),
    (standing(None), (-1.0, -1.0)),
    (Cost(monthly_usd=Decimal(0)), (0.0, 0.0)),
    (Cost(accrued_usd=Decimal(12)), (12.0, -1.0)),
    (Cost(accrued_usd=Decimal(12), hourly_usd=Decimal(1)), (12.0, 730.0)),
)
def test_an_unknown_price_sorts_below_known_prices(cost: Cost | None, numbers: tuple[float, float]) -> None:
    found = html.finding_fields(0, result("idle-endpoints", "a", replace(IDLE, cost=cost)))
    assert (found["usd"], found["worth"]) == numbers


# --- what the page adds up ------------------------------------------------------------------------


def named(number: int, cost: Cost | None, *, owner: str | None = "maria", **changes: Any) -> Result:
    """A finding of *owner*'s at this *cost*."""
    return replace(result("idle-endpoints", f"e-{number}", replace(IDLE, cost=cost), owner=owner), **changes)


def monthly(usd: str) -> Cost:
    return Cost(monthly_usd=Decimal(usd))


HALF = Overlap(
    detector="spot-training", arn="arn:a", name="a", monthly_usd=Decimal(5), accrued_usd=Decimal(0)
)
NONE = replace(HALF, monthly_usd=Decimal(0))


def test_bars_are_sums_the_longest_first_and_the_rest_in_one() -> None:
    amounts = [
        ("b", Decimal(3)),
        ("a", Decimal(3)),
        ("c", Decimal(2)),
        ("b", Decimal(1)),
        ("d", None),
        ("e", Decimal(1)),
    ]

    assert html.make_bars(amounts, limit=None) == [
        html.ChartBar("b", Decimal(4), 2, 100.0),
        html.ChartBar("a", Decimal(3), 1, 75.0),
        html.ChartBar("c", Decimal(2), 1, 50.0),
        html.ChartBar("e", Decimal(1), 1, 25.0),
    ]
    assert html.make_bars(amounts, limit=4) == html.make_bars(amounts, limit=None)
    assert html.make_bars(amounts, limit=3)[1:] == [
        html.ChartBar("a", Decimal(3), 1, 75.0),
        html.ChartBar("2 others", Decimal(3), 2, 75.0),
    ]
    few_dear, many_cheap = ("b", Decimal(3)), [("a", Decimal(1))] * 2
    assert html.make_bars([*many_cheap, few_dear, ("c", Decimal(2))], limit=3) == [
        html.ChartBar("b", Decimal(3), 1, 100.0),
        html.ChartBar("a", Decimal(2), 2, 66.67),
        html.ChartBar("c", Decimal(2), 1, 66.67),
    ]
    assert html.make_bars([("a", Decimal(0))], limit=3) == [html.ChartBar("a", Decimal(0), 1, 0.0)]
    assert html.make_bars([], limit=3) == []
    assert html.ChartBar("a", Decimal(1204), 1, 1.0).label == "$1,204"


def test_findings_in_no_sum_are_counted_by_name() -> None:
    names = [f"n{number}" for number in range(html.OWNER_BARS)]
    assert html.count_unpriced([*names, "n9"]) == [("n9", 2), *((name, 1) for name in names[:-1])]
    assert html.count_unpriced([*names, "m", "n9"])[-2:] == [("n7", 1), ("2 others", 2)]
    assert len(html.count_unpriced([*names, "m", "n9"])) == html.OWNER_BARS
    assert [
        html.is_uncounted(one)
        for one in (
            named(1, monthly("9")),
            named(2, None),
            named(3, monthly("9"), overlap=NONE),
            named(4, monthly("9"), overlap=HALF),
            named(5, None, overlap=replace(NONE, accrued_usd=Decimal(1))),
        )
    ] == [False, True, True, False, False]
    row = html.finding_fields(4, named(4, monthly("9"), overlap=HALF))
    assert (row["usd"], row["monthly"]) == (9, 5)


def test_charts_are_by_kind_and_owner_and_of_several_accounts_by_account() -> None:
    left = [
        named(1, monthly("9")),
        named(2, monthly("9"), owner=None, overlap=HALF),
        named(3, Cost(accrued_usd=Decimal(7)), detector="hung-training-jobs"),
        named(4, None, owner="ben"),
        named(5, monthly("9"), owner="ben", overlap=NONE),
    ]

    def numbers(of: Sequence[html.ChartBar]) -> dict[str, int]:
        return {bar.name: int(bar.usd) for bar in of}

    found = {
        title: (numbers(month), numbers(so_far), none)
        for title, month, so_far, none in html.sum_charts(left, accounts=True)
    }
    assert found == {
        "By kind of waste": ({"idle-endpoints": 14}, {"hung-training-jobs": 7}, [("idle-endpoints", 2)]),
        "By owner": ({"maria": 9, "no owner tag": 5}, {"maria": 7}, [("ben", 2)]),
        "By account": ({ACCOUNT: 14}, {ACCOUNT: 7}, [(ACCOUNT, 2)]),
    }
    assert [title for title, *_ in html.sum_charts(left[3:], accounts=False)] == [
        "By kind of waste",
        "By owner",
    ]
    assert html.sum_charts([], accounts=True) == []


# --- what the page says ---------------------------------------------------------------------------


class Text(HTMLParser):
    """The words of a page, without its styles and scripts; what begins a block begins a line."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines, self._hidden = [""], False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self._hidden = tag in {"style", "script"}
        if tag not in {"span", "wbr", "code", "strong"}:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.lines[-1] += data

    @property
    def words(self) -> list[str]:
        """Each line that has words, without what only lays it out."""
        return [line for line in (" ".join(line.split()) for line in self.lines) if line]


def said(*sweeps: Sweep, **how: Any) -> list[str]:
    account = sweeps[0].account if len({one.account for one in sweeps}) == 1 else None
    return Text(html.render_html(report_of(*sweeps, account=account), **how)).words


def unknown(number: int) -> Result:
    kept = Kept(reason="its metrics could not be read", unknown=True)
    return replace(named(number, None), verdict=kept, outcome=Outcome.KEPT)


def test_the_page_begins_with_what_was_found() -> None:
    words = said(
        sweep("idle-endpoints", named(1, monthly("1204")), named(2, standing(None)), unknown(3)),
        sweep("hung-training-jobs", named(4, accruing("2", 10)), region="eu-west-1"),
    )

    assert words[: words.index("Findings")] == [
        "ML Janitor: $1,204 a month, 2026-10-06 03:00 UTC",
        f"ML Janitor: what could be saved account {ACCOUNT}, eu-west-1, us-east-1, 2026-10-06 03:00 UTC",
        "$1,204 a month can be saved",
        "$20.00 wasted so far by jobs, and $2.00 more every hour",
        "3 findings; 1 has no known price, and the totals leave it out",
        "1 could not be judged, and is kept",
        "Largest findings",
        "$1,204 a month",
        "e-1 Delete the endpoint (maria)",
        "$20.00 so far",
        "e-4 Delete the endpoint (maria)",
        "Top owners",
        "maria",
        "$1,204 a month and $20.00 so far",
    ]


def test_the_first_screen_names_what_costs_most_and_who_owns_most() -> None:
    people = {1: "ann@a.com", 2: "ann@a.com", 3: "ben@a.com", 4: None}
    found = [
        named(number, monthly(str(number)), owner=people.get(number, "eve@a.com")) for number in range(1, 9)
    ]
    found += [named(9, accruing("50", 1), owner="ben@a.com"), named(10, None)]

    assert [(each["name"], each["cost"], each["owner"]) for each in html.largest_findings(found)] == [
        ("e-9", "$50.00 so far", "ben"),
        ("e-8", "$8.00 a month", "eve"),
        ("e-7", "$7.00 a month", "eve"),
        ("e-6", "$6.00 a month", "eve"),
        ("e-5", "$5.00 a month", "eve"),
    ]
    assert html.largest_findings([*found, named(12, monthly("99"), overlap=NONE)])[0]["name"] == "e-9"
    assert (
        html.largest_findings(found)[0]["href"]
        == f"#arn%3Aaws%3Asagemaker%3A{REGION}%3A{ACCOUNT}%3Athing%2Fe-9"
    )
    assert html.owner_sums(found) == [
        ("ben", "$3.00 a month and $50.00 so far"),
        ("eve", "$26.00 a month"),
        ("no owner tag", "$4.00 a month"),
        ("ann", "$3.00 a month"),
    ]
    assert html.owner_sums([*found, named(11, monthly("1"), owner="ann@b.com")])[0][0] == "ben@a.com"


def test_links_to_a_resource_lead_to_the_first_of_its_rows() -> None:
    twice = [named(1, monthly("2")), replace(named(1, monthly("1")), detector="oversized-endpoints")]
    sweeps = (
        sweep("idle-endpoints", twice[0], named(2, monthly("9"))),
        sweep("oversized-endpoints", twice[1]),
    )

    page = html.render_html(report_of(*sweeps))

    assert [page.count(f'id="{one.target.arn}"') for one in (*twice, sweeps[0].results[1])] == [1, 1, 1]


@cases(
    "action, short",
    ("delete the endpoint (its configuration stays)", "Delete the endpoint"),
    ("delete the folder: aws s3 rm --recursive s3://models/a/", "Delete the folder"),
    ("buy spot: set EnableManagedSpotTraining=true, and more", "Buy spot"),
    (
        "run variant a on 1 to 2 ml.c5.xlarge: a new endpoint configuration, then update",
        "Run variant a on 1 to 2 ml.c5.xlarge",
    ),
    ("stop it; what it wrote stays", "Stop it"),
)
def test_an_action_is_shortened_to_its_first_clause(action: str, short: str) -> None:
    assert html.short_action(action) == short


def test_a_sweep_that_acted_says_what_it_did_and_what_is_left() -> None:
    failed = named(3, monthly("2"), outcome=Outcome.FAILED, cause=make_cause(CauseCode.ACT_FAILED, "denied"))
    undo = make_cause(CauseCode.UNDO_WITH, "undo", "0a1b")
    begun = replace(unknown(5), outcome=Outcome.ACTED, verdict=Kept(reason="it is used"), cause=undo)
    limit = LimitHit(make_cause(CauseCode.MAX_SHARE, 5, 9, 20, "idle-endpoints"), 2)
    lost = UnreachableUndos(
        detector="idle-endpoints", region=REGION, count=1, last="2026-10-01", until="2026-10-31"
    )
    done = (
        named(1, monthly("100"), outcome=Outcome.ACTED),
        named(2, None, outcome=Outcome.ACTED),
        named(4, monthly("7"), outcome=Outcome.WAITING, cause=make_cause(CauseCode.NOT_DUE)),
        named(
            6,
            monthly("8"),
            outcome=Outcome.CHANGED,
            cause=make_cause(CauseCode.NO_LONGER_WASTE, "it is used"),
        ),
    )
    words = said(
        replace(
            sweep("idle-endpoints", *done, failed, begun, unknown(7), error="ListEndpoints broke off"),
            mode=Mode.ACT,
            held_back=(limit,),
            unreachable=lost,
            notices=("a folder is empty",),
        )
    )

    assert words[1].startswith("ML Janitor: what was found, and what became of it account")
    assert words[2:7] == [
        "$9.00 a month are left to save",
        "2 done that cost $100 a month",
        "1 failed, or half done",
        "5 findings",
        "1 could not be judged, and is kept",
    ]
    at = words.index("Failed or half done")
    assert words[at : words.index("Findings")] == [
        "Failed or half done",
        f"e-3 (idle-endpoints, us-east-1): Failed: {DELETE}; denied.",
        "Held back by a limit",
        (
            "idle-endpoints: 2 5 of 9 would be deleted or expire, more than max_share = 20 %: that smells of "
            "a broken signal; to go on: janitor approve idle-endpoints"
        ),
        "Only a person can undo these",
        f"idle-endpoints: {causes.unreachable_undos_text(lost)}",
    ]
    end = words.index("e-7 (idle-endpoints, us-east-1): its metrics could not be read") + 1
    assert words[words.index("Also noticed") : end] == [
        "Also noticed",
        "idle-endpoints: a folder is empty",
        "Begun earlier, no longer a finding",
        "e-5 (idle-endpoints, us-east-1): Done: undo: janitor undo 0a1b.",
        "Could not be read",
        "idle-endpoints in us-east-1 is not complete: ListEndpoints broke off",
        "e-7 (idle-endpoints, us-east-1): its metrics could not be read",
    ]


def test_an_error_that_several_places_share_is_said_once() -> None:
    places = [sweep("idle-endpoints", error="denied", region=f"eu-west-{number}") for number in range(1, 6)]
    other = replace(sweep("idle-endpoints", error="denied", region="eu-west-1"), account="210987654321")
    ok = sweep("idle-notebooks", named(1, monthly("9")))

    assert [*map(str, html.incomplete_lines(report_of(*places[:3], ok, account=None)))] == [
        "idle-endpoints in eu-west-1, eu-west-2, eu-west-3 is not complete: denied"
    ]
    three = ", ".join(f"{ACCOUNT} eu-west-{number}" for number in (1, 2, 3))
    assert [*map(str, html.incomplete_lines(report_of(*places, other, account=None)))] == [
        f"idle-endpoints in {three} and 3 more places is not complete: denied"
    ]
    assert html.incomplete_lines(report_of(ok)) == []


def test_a_list_is_folded_and_ends_with_where_the_rest_is() -> None:
    words = said(sweep("idle-endpoints", *map(unknown, range(123))))
    lines = words[words.index("Could not be read") + 1 :]

    assert (lines[9], lines[10]) == (
        "e-9 (idle-endpoints, us-east-1): its metrics could not be read",
        "113 more",
    )
    assert lines[100].startswith("e-99 ")
    assert lines[101].startswith("23 more are in the report as JSON")
    assert [html.first_places("abcde"[:number]) for number in (1, 3, 4, 5)] == [
        "a",
        "a, b, c",
        "a, b, c and 1 more place",
        "a, b, c and 2 more places",
    ]


def test_of_two_accounts_each_is_named() -> None:
    other = replace(unknown(2), target=replace(unknown(2).target, account="210987654321"))
    words = said(
        sweep("idle-endpoints", named(1, monthly("9"))),
        replace(sweep("idle-endpoints", other), account="210987654321"),
    )
    assert words[1].startswith("ML Janitor: what could be saved 2 accounts, us-east-1,")
    assert "By account" in words
    assert "e-2 (idle-endpoints, 210987654321 us-east-1): its metrics could not be read" in words


def test_a_plan_draws_what_is_saved_by_each_week() -> None:
    ends, spot = named(1, monthly("30"), change=Change.END), named(2, monthly("90"), change=Change.SPOT)
    planned = html.plan_section(report_of(sweep("idle-endpoints", ends, spot)))

    assert [(one["number"], one["by_then"], one["percent"]) for one in planned["weeks"]] == [
        (1, "$30.00", 25.0),
        (2, "$30.00", 25.0),
        *((number, "$120", 100.0) for number in (3, 4, 5, 6)),
    ]
    assert planned["headline"] == "2 changes, 2 hours of work: $120 a month."
    third = round(100 / 3, 2)
    cheaper = replace(spot, verdict=named(3, monthly("60")).verdict)
    unequal = report_of(sweep("idle-endpoints", ends, cheaper))
    assert html.plan_section(unequal)["weeks"][0]["percent"] == third
    empty = html.plan_section(report_of())
    assert {one["percent"] for one in empty["weeks"]} == {0.0}
    for plan in (False, True):
        words = said(sweep("idle-endpoints", ends, spot), plan=plan)
        assert any(planned["headline"] in line for line in words) is plan


def test_markup_from_the_account_stays_text() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    bad = finding(hostile, monthly("9"), action=hostile)
    found = replace(
        named(1, monthly("9"), owner=hostile), verdict=bad, target=target_at(f"endpoint/{hostile}")
    )
    gone = replace(unknown(2), verdict=Kept(reason=hostile, unknown=True))
    swept = replace(sweep("idle-endpoints", found, gone, error=hostile), notices=(hostile,))
    page = html.render_html(report_of(swept, account=hostile))
    assert hostile not in page
    assert page.count("&lt;img src=x") > 5


def test_nothing_read_is_not_nothing_found() -> None:
    denied = sweep("idle-endpoints", error="denied")
    assert said(denied, sweep("idle-notebooks", error="denied"))[2:4] == ["Nothing could be read.", "denied"]
    assert "Nothing was found." in said(sweep("idle-endpoints"))
    for read in (sweep("idle-notebooks"), replace(denied, results=(unknown(1),))):
        assert html.why_nothing_read(report_of(denied, read)) == []


def test_notices_of_several_accounts_say_where() -> None:
    one = replace(sweep("idle-endpoints"), notices=("a", "b"))
    other = replace(one, account="210987654321", notices=("c",))
    assert [*map(str, html.notice_lines(report_of(one)))] == ["idle-endpoints: a", "idle-endpoints: b"]
    assert [*map(str, html.notice_lines(report_of(one, other, account=None)))] == [
        f"idle-endpoints in {ACCOUNT} us-east-1: a",
        f"idle-endpoints in {ACCOUNT} us-east-1: b",
        "idle-endpoints in 210987654321 us-east-1: c",
    ]


def test_what_is_not_drawn_at_once_is_packed() -> None:
    found = (named(number, monthly(str(400 - number))) for number in range(html.FINDINGS_PRINTED + 2))
    page = html.render_html(report_of(sweep("idle-endpoints", *found)))
    (data,) = re.findall(r'id="more">([A-Za-z0-9+/=]+)<', page)
    assert "2 more are in the report as JSON" in page

    rest = json.loads(gzip.decompress(b64decode(data)))
    assert [(one["number"], one["name"]) for one in rest] == [
        (html.FINDINGS_PRINTED, f"e-{html.FINDINGS_PRINTED}"),
        (html.FINDINGS_PRINTED + 1, f"e-{html.FINDINGS_PRINTED + 1}"),
    ]
    assert all(f"e-{html.FINDINGS_PRINTED}" in one["html"] for one in rest[:1])
    assert page.count("<tr") - page.count("<tr>") >= html.FINDINGS_PRINTED
    assert html.pack_entries([]) == ""


def test_only_commands_are_set_as_such_and_nothing_is_markup() -> None:
    assert html.mark_commands("<b> then janitor undo 0a1b; janitor keep x, or aws s3 rm 's3://<b>'.") == (
        "&lt;b&gt; then <code>janitor undo 0a1b</code>; janitor keep x, or "
        "<code>aws s3 rm &#39;s3://&lt;b&gt;&#39;</code>."
    )
    assert len(html.mark_commands("x" * 5000)) == len(escape_text("x" * 5000, 4000))


def test_a_sweep_leaves_a_document_with_all_that_was_kept_and_a_page() -> None:
    script = Script({"s3:PutObject": {}})
    kept = replace(unknown(1), verdict=Kept(reason="it is used"))
    report = report_of(sweep("idle-endpoints", kept))

    where = html.Archive(script.aws().armed().s3, "reports").keep(report, folder="runs/idle-endpoints")

    assert where == "s3://reports/runs/idle-endpoints/2026-10-06T03-00-00Z.html"
    document, page = script.asked("s3:PutObject")
    assert [(put["Bucket"], put["Key"], put["ContentType"]) for put in (document, page)] == [
        ("reports", "runs/idle-endpoints/2026-10-06T03-00-00Z.json", "application/json"),
        ("reports", "runs/idle-endpoints/2026-10-06T03-00-00Z.html", "text/html; charset=utf-8"),
    ]
    assert b"it is used" in document["Body"].getvalue()
    assert page["Body"].getvalue().decode() == html.render_html(report)


def test_only_findings_have_a_row() -> None:
    with pytest.raises(TypeError):
        html.finding_fields(0, unknown(1))
    assert html.finding_fields(0, named(1, monthly("9")))["place"] == REGION
