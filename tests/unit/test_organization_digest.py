"""The digest of an organization as its reader sees it: dearest accounts first, and what is not known."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_janitor.acting.savings import SavingsTotal
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.latest import LastRun, RunAccount
from ml_janitor.report import mrkdwn
from ml_janitor.report.digest import (
    NO_ACTIONS,
    ActionLine,
    DetectorRun,
    DigestActions,
    Overview,
    SweepRow,
    _cut,
    _lines,
    make_digest,
    make_organization_digest,
    saved_text,
)
from ml_janitor.slack.digest import OrganizationReader
from narrowing import not_none
from reports import sweep_row
from tables import cases

NOW = datetime(2026, 10, 6, 7, tzinfo=UTC)
TIME = datetime(2026, 10, 6, 3, tzinfo=UTC)
NOT_THERE = (
    "could not be read: its role cannot be taken on; `janitor doctor --organization` says what mends it"
)
NO_RESULT = "could not be read: the run ended without a result of it"


def account(number: int) -> str:
    return f"{number:012d}"


def run(detector: str = "idle-endpoints", **how: Any) -> DetectorRun:
    """A run over 200 accounts that has ended."""
    usual: dict[str, Any] = {"time": TIME, "begun": TIME, "accounts": 200, "sweeps": 800}
    return DetectorRun(detector=detector, **(usual | how))


def row(
    number: int, usd: str = "0", *, detector: str = "idle-endpoints", found: int = 1, **how: Any
) -> SweepRow:
    """What a sweep of the account of this *number* left."""
    about: dict[str, Any] = {
        "account": account(number),
        "time": TIME,
        "found": found,
        "kept": 9 - found,
    } | how
    return sweep_row(detector, usd, **about)


def broken(number: int, error: str = NOT_THERE, **how: Any) -> SweepRow:
    """A sweep that read nothing."""
    return row(number, found=0, looked_at=0, kept=0, error=error, **how)


def seen(
    *rows: SweepRow, runs: tuple[DetectorRun, ...] = (run(),), accounts: int = 200, **how: Any
) -> Overview:
    return Overview(runs=runs, rows=rows, accounts=accounts, **how)


def lines(post: mrkdwn.Post) -> list[str]:
    """Every line of the message, block by block."""
    return [
        line
        for block in post.main.blocks
        for text in ([block["text"]] if "text" in block else block["elements"])
        for line in text["text"].split("\n")
    ]


def said(overview: Overview, **how: Any) -> list[str]:
    return lines(make_organization_digest(overview, now=NOW, **how))


def test_a_day_on_which_all_is_as_it_was_is_one_line() -> None:
    post = make_organization_digest(seen(row(1, "100"), row(2, "60", found=2)), now=NOW)

    assert post.main.text == (
        "Nothing new today. 3 known findings in 2 of 200 accounts cost $160 a month. The detector "
        "looked at 200 accounts."
    )
    assert len(post.main.blocks) == 1


def test_the_dearest_accounts_stand_in_full_and_the_others_in_one_line() -> None:
    rows = [row(number, str(1000 - number), new=number % 2) for number in range(1, 31)]
    rows.append(row(1, "500", detector="idle-notebooks", region="eu-west-1", found=3))
    rows.append(row(1, "5", region="eu-west-1", found=2))

    post = make_organization_digest(seen(*rows, names={account(1): "fraud `prod`"}), now=NOW)
    shown, (thread,) = lines(post), post.replies
    whole = lines(mrkdwn.Post(main=thread))

    assert shown[0] == "35 findings in 30 of 200 accounts cost $30,040 a month; 15 are new"
    first = shown.index("*$1,504 a month*: fraud 'prod' (000000000001), 6 findings, 1 new")
    assert shown[first + 1] == "*$997 a month*: 000000000003, 1 idle endpoint in us-east-1, 1 new"
    at = whole.index(shown[first])
    assert whole[at + 1 : at + 3] == [
        "• $1,004 a month: 3 idle endpoints in us-east-1, eu-west-1, 1 new",
        "• $500 a month: 3 idle notebooks in eu-west-1",
    ]
    assert shown[first - 1] == "*10 of 30 accounts:*", "accounts with news come before dearer ones"
    assert shown[-1] == "*$19,635 a month*: 20 more accounts, 20 findings, 5 new"
    assert sum_of(shown[first:]) == sum_of(shown[:1])
    assert sum(line.startswith("*$") for line in shown) == 11


def sum_of(texts: Sequence[str]) -> tuple[int, int, int]:
    """Return the dollars a month, the findings and the new findings that *texts* name."""
    sums = [0, 0, 0]
    for text in texts:
        dollars = re.search(r"\$([\d,]+)(?:\.00)? a month", text)
        findings = re.search(r"(\d+) (?:findings?|idle|unused|hung|spot|kind)", text)
        new = re.search(r"(\d+) (?:is |are )?new", text)
        for at, found in enumerate((dollars, findings, new)):
            sums[at] += int(found[1].replace(",", "")) if found else 0
    return sums[0], sums[1], sums[2]


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 9), st.booleans()), min_size=2, max_size=40),
    st.integers(0, 40),
)
def test_the_lines_of_what_was_found_add_up_to_the_title_and_fold_no_news_first(
    rows: list[tuple[int, int, bool]], done: int
) -> None:
    found = [
        row(1, str(usd * 100), region=f"region-{at}", found=number, new=number if new else 0)
        for at, (usd, number, new) in enumerate(rows)
    ]
    actions = DigestActions(acted=[ActionLine(f"deleted {number}") for number in range(1, done + 2)])
    post = make_digest(found, now=NOW, actions=actions)
    for message in filter(None, (post.main, post.whole)):
        shown = lines(mrkdwn.Post(main=message))
        listed = shown[shown.index("*Found:*") + 1 :]
        title = shown[0].replace("; all are new", f"; {sum(number for _, number, _ in rows)} are new")
        assert sum_of(listed) == sum_of([title])
        if listed[-1].startswith("and "):
            assert message is post.main
            if any(" new" not in line for line in listed[:-1]):
                assert " new" not in listed[-1]
        money = [sum_of([line])[0] for line in listed if line.startswith("*$")]
        assert money == sorted(money, reverse=True)


def test_what_was_done_stands_by_dollars_and_the_line_of_the_others_has_theirs() -> None:
    acted = [
        ActionLine("tagged a lamp"),
        *(ActionLine(f"deleted {at}", monthly_usd=Decimal(at * 730)) for at in range(1, 14)),
        ActionLine("stopped a job", hourly_usd=Decimal(5)),
        ActionLine("stopped a small job", hourly_usd=Decimal("0.5")),
    ]
    post = make_digest([row(1, "10", new=1)], now=NOW, actions=DigestActions(acted=acted))
    shown = lines(post)
    at = shown.index("*Done:*")
    assert shown[at + 1 : at + 12] == [
        *(f"deleted {number}" for number in range(13, 4, -1)),
        "stopped a job",
        "and 6 more, $7,300 a month, $0.50 an hour",
    ]
    whole = lines(mrkdwn.Post(main=not_none(post.whole)))
    assert [line for line in whole if line.startswith(("deleted", "stopped", "tagged"))] == [
        *(f"deleted {number}" for number in range(13, 4, -1)),
        "stopped a job",
        *(f"deleted {number}" for number in range(4, 0, -1)),
        "stopped a small job",
        "tagged a lamp",
    ]


def test_what_left_no_result_is_counted_and_its_accounts_are_named_ten_at_most() -> None:
    rows = [broken(number, NO_RESULT, region=region) for number in range(1, 13) for region in ("a", "b")]
    rows.append(broken(44, detector="idle-notebooks"))
    rows.append(row(45, found=0, looked_at=5, error="the listing broke off", detector="idle-notebooks"))
    rows.append(replace(broken(46), detector="hung-training-jobs", last=None))
    runs = tuple(map(run, ("idle-endpoints", "idle-notebooks", "hung-training-jobs")))

    overview = seen(*rows, runs=runs, names={account(44): "lab"})
    post = make_organization_digest(overview, now=NOW, time_zone="Europe/Berlin")

    shown = lines(post)
    ten = ", ".join(account(number) for number in range(1, 11))
    at = shown.index("*Without a result:*")
    assert shown[at + 1] == (
        f"idle endpoints: 24 sweeps in 12 accounts: {ten} and 2 more. Could not be read: the run ended "
        "without a result of it."
    )
    assert shown[at + 2] == (
        "idle notebooks: 1 sweep in 1 account: lab (000000000044). Could not be read: its role cannot be "
        "taken on; `janitor doctor --organization` says what mends it."
    )
    assert shown[0].startswith("Nothing wasteful found in what ran")
    assert shown[1] == (
        "200 accounts and 3 detectors, as of Tue 6 Oct 09:00 (Europe/Berlin). Not everything could be read, "
        "so there may be more."
    )
    assert shown[at + 3] == "hung training jobs: 1 sweep in 1 account: 000000000046. The run left nothing."
    assert shown[shown.index("*Not complete:*") + 1] == (
        "idle notebooks: 1 sweep in 1 account: 000000000045. The listing broke off."
    )
    assert post.main.text.endswith(" 26 sweeps without a result.")


def test_one_account_that_no_detector_may_read_is_one_line() -> None:
    names = [f"detector-{number}s" for number in range(18)]
    rows = [broken(7, detector=name, region=region) for name in names for region in ("a", "b")]

    shown = said(seen(*rows, runs=tuple(map(run, names))))

    assert sum("000000000007" in line for line in shown) == 1
    assert shown[shown.index("*Without a result:*") + 1].startswith(
        "All 18 detectors: 36 sweeps in 1 account: 000000000007. Could not be read: its role"
    )


def test_a_run_says_whether_it_is_at_work_late_or_never_was() -> None:
    runs = (
        run("idle-endpoints", at_work=True, waiting=37),
        run("stale-models", at_work=True),
        run("idle-notebooks", late=True, time=NOW - timedelta(days=2)),
        DetectorRun(detector="hung-training-jobs"),
        run("spot-training", error="s3://reports/organization/x.json could not be read: denied"),
    )

    post = make_organization_digest(seen(row(1, "10"), runs=runs), now=NOW)

    shown = lines(post)
    assert (
        "idle endpoints: still looking at 37 of 200 accounts after 4 hours; what it found there before counts"
        in shown
    )
    assert "stale models: has looked at 200 accounts, and has not ended after 4 hours" in shown
    assert "idle notebooks: the last time was 2 days ago" in shown
    assert "hung training jobs: it never has" in shown
    assert any(line.startswith("spot training findings, all of it: `s3://reports") for line in shown)
    assert post.main.text.endswith(" 2 detectors of 5 did not run.")


@pytest.mark.parametrize("runs", [(run(at_work=True),), (run(late=True),), (run(error="denied"),), ()])
def test_a_day_is_quiet_only_if_everything_ran(runs: tuple[DetectorRun, ...]) -> None:
    assert seen(runs=runs).fine == (not runs)


AT_LEAST = "1 finding in 1 of 200 accounts costs at least $10.00 a month; it is not new"


@cases(
    "overview, headline",
    (seen(row(1, "10"), broken(2)), AT_LEAST),
    (seen(row(1, "10"), runs=(run(at_work=True, waiting=3),)), AT_LEAST),
    (seen(broken(1)), "Nothing wasteful found in what ran in 200 accounts"),
    (seen(runs=(DetectorRun(detector="idle-endpoints"),), accounts=0), "No detector has run"),
    (seen(row(1, "10", new=1), accounts=1), "1 finding costs $10.00 a month; it is new"),
    ids=["unread", "at work", "nothing found", "no run", "one account"],
)
def test_the_headline_says_how_whole_the_sum_is(overview: Overview, headline: str) -> None:
    assert said(overview)[0] == headline


@pytest.mark.parametrize("number", [1, 3, 11, 12, 13, 400])
def test_the_digest_of_an_organization_lists_twelve_lines_and_its_thread_all(number: int) -> None:
    kinds = ("idle-endpoints", "idle-notebooks", "unused-volumes")
    rows = [row(at, "9", detector=kind, new=1) for at in range(number) for kind in kinds]
    names = tuple(f"deleted {count}" for count in range(number))
    acted = tuple(map(ActionLine, names))
    lists = (NO_ACTIONS, DigestActions(acted=acted), DigestActions(acted=acted, failed=names, due=names))
    for actions in lists:
        post = make_organization_digest(seen(*rows, runs=tuple(map(run, kinds))), now=NOW, actions=actions)

        listed = [line for line in lines(post)[2:] if not line.endswith(":*")]
        assert len(listed) <= 12
        (*replies,) = post.replies
        assert bool(replies) is (
            number * (4 + sum(map(bool, (actions.acted, actions.failed, actions.due)))) > 12
        )
        assert mrkdwn.fits_message([block for reply in replies for block in reply.blocks])


@pytest.mark.parametrize("number", [3, 12, 13, 40])
def test_the_digest_of_an_account_lists_twelve_lines_and_its_thread_all(number: int) -> None:
    rows = [row(1, str(count + 1), region=f"region-{count}", new=1) for count in range(number)]
    done = DigestActions(acted=tuple(ActionLine(f"deleted {count}") for count in range(number)))
    for actions, expected in ((NO_ACTIONS, number), (done, 2 * number)):
        post = make_digest(rows, now=NOW, actions=actions)
        shown = [line for line in lines(post) if re.match(r"\*\$|deleted|and \d+ more", line)]

        assert len(shown) <= 12
        (*replies,) = post.replies
        assert bool(replies) is (expected > 12)
        every = lines(mrkdwn.Post(main=replies[0])) if replies else shown
        assert sum(line.startswith(("*$", "deleted")) for line in every) == expected


def test_the_only_place_of_an_account_is_named_once_and_in_its_time() -> None:
    shown = lines(make_digest([row(1, "10", new=1)], now=NOW, time_zone="Europe/Berlin"))

    as_of = "as of Tue 6 Oct 09:00 (Europe/Berlin)"
    assert shown[1] == f"All sweeps of account {account(1)}, us-east-1, {as_of}."
    assert shown[-1] == "*$10.00 a month*: 1 idle endpoint, 1 new"


@pytest.mark.parametrize("trouble", [{"late": True}, {"last": None}])
def test_what_did_not_run_makes_the_sum_of_an_account_a_least_one(trouble: dict[str, Any]) -> None:
    rows = [row(1, "10", new=1), replace(row(1, region="eu-west-1"), **trouble)]

    at_least = "cost at least $" in lines(make_digest(rows, now=NOW))[0].replace("costs", "cost")
    assert at_least is ("last" in trouble)
    broke = lines(make_digest([row(1, "10", new=1), broken(1)], now=NOW))[0]
    assert broke == "1 finding costs at least $10.00 a month; it is new"


def test_however_much_there_is_slack_takes_it_and_the_accounts_stay() -> None:
    """Names of fifty signs that need escaping, long errors, and hundreds of actions."""
    kinds = [f"kind-{number}-of-things" for number in range(18)]
    rows = [
        row(number, str(number), detector=kind, region=f"ap-southeast-{number % 9}", new=1, unknown=1)
        for number in range(1, 1001)
        for kind in kinds[: 1 + number % 18]
    ]
    rows += [
        broken(number, "&" * 900 + str(number), detector=kind) for number in range(200) for kind in kinds
    ]
    long = tuple(f"{number} {'<' * 700}" for number in range(500))
    actions = DigestActions(acted=tuple(map(ActionLine, long)), failed=long, undone=long, due=long, lost=long)
    names = {account(number): "<&>" * 17 for number in range(1, 1001)}

    post = make_organization_digest(
        seen(*rows, runs=tuple(map(run, kinds)), accounts=1000, names=names),
        now=NOW,
        actions=actions,
        bill=("a bill",) * 5,
    )

    blocks = post.main.blocks
    assert len(blocks) <= mrkdwn.MOST_BLOCKS
    assert mrkdwn.blocks_size(blocks) <= mrkdwn.LARGEST_MESSAGE
    shown = lines(post)
    assert "and 499 more" in shown
    assert any("99 more accounts, " in line for line in shown)


def test_actions_are_looked_for_where_a_detector_may_act_now_or_did_before() -> None:
    """Elsewhere nothing was ever done, and nobody has to ask a thousand accounts for it."""
    listed = tuple(RunAccount(account(number), ("eu-west-1", "us-east-1")) for number in range(1, 4))
    last = LastRun(detector="idle-endpoints", time=TIME, key="", accounts=3, begun=TIME)
    lists, runs = SimpleNamespace(accounts=lambda *_: listed), SimpleNamespace(last=lambda _: last)
    places = [account(1), f"{account(3)}/eu-west-1", account(9)]
    settings = Settings.parse({"detectors": {"idle-endpoints": {"mode": "dry-run", "act_in": places}}})
    parts: dict[str, Any] = {"ledger": None, "runs": runs, "lists": lists, "sleep": None}
    reader = OrganizationReader(settings=settings, **parts)

    assert reader.acted_in("idle-notebooks") == []
    assert reader.acted_in("idle-endpoints") == [
        (account(1), "eu-west-1"),
        (account(1), "us-east-1"),
        (account(3), "eu-west-1"),
    ]
    armed = {"mode": "act", "act_in": places, "armed_until": f"{TIME:%Y-%m-%d}"}
    some = Settings.parse({"detectors": {"idle-endpoints": armed}})
    everywhere = [(one.account, region) for one in listed for region in one.regions]
    assert replace(reader, settings=some).acted_in("idle-endpoints") == everywhere


@cases(
    "run_at, at_work, rows, waiting",
    (TIME, False, [(1, True), (2, False), (3, True)], 0),
    (TIME, True, [(1, True), (3, True)], 1),
    (TIME + timedelta(days=1), False, [(1, False), (2, False), (3, False)], 0),
    (TIME + timedelta(days=1), True, [(1, True), (3, True)], 3),
)
def test_a_result_missing_after_a_run_is_a_row_and_at_work_the_one_before_stands(
    run_at: datetime, *, at_work: bool, rows: list[tuple[int, bool]], waiting: int
) -> None:
    left = {(account(number), "us-east-1"): row(number).last for number in (1, 3)}
    ledger = SimpleNamespace(latest=SimpleNamespace(sweeps=lambda *_, **__: left))
    parts: dict[str, Any] = {"ledger": ledger, "runs": None, "lists": None, "sleep": None}
    reader = OrganizationReader(settings=Settings.parse({}), **parts)
    listed = [RunAccount(account(number), ("us-east-1",)) for number in (1, 2, 3)]
    asked: Any = SimpleNamespace(name="idle-endpoints")

    seen_run, found = reader._of(asked, run(time=run_at, at_work=at_work), listed)

    assert [(int(one.account), one.last is not None) for one in found] == rows
    assert (seen_run.sweeps, seen_run.waiting) == (3, waiting)


@cases(
    "saved, said",
    (SavingsTotal(), ""),
    (SavingsTotal(usd=Decimal(2), actions=1), "*Saved so far this month:* $2.00, by 1 action."),
    (SavingsTotal(unknown=2), "*Saved so far this month:* unknown, for 2 actions."),
    (
        SavingsTotal(usd=Decimal(2), actions=3, unknown=1),
        "*Saved so far this month:* $2.00, by 3 actions. It leaves out 1 action whose savings are unknown.",
    ),
)
def test_savings_are_said_with_what_they_leave_out(saved: SavingsTotal, said: str) -> None:
    assert saved_text(saved) == said


@pytest.mark.parametrize("what", ["acted", "failed", "undone", "due", "lost"])
def test_a_day_on_which_something_was_done_or_is_due_is_not_quiet(what: str) -> None:
    lamp = ActionLine("lamp") if what == "acted" else "lamp"
    shown = said(seen(row(1, "5")), actions=replace(DigestActions(), **{what: (lamp,)}))  # type: ignore[arg-type]
    assert shown[0] == "1 finding in 1 of 200 accounts costs $5.00 a month; it is not new"
    assert "lamp" in shown


def test_detectors_without_a_result_are_grouped_by_their_accounts_the_most_sweeps_first() -> None:
    names = ("idle-endpoints", "idle-notebooks", "hung-training-jobs", "unused-volumes", "spot-training")
    rows = [broken(at, detector=name) for count, name in enumerate(names, 1) for at in range(count)]
    runs = tuple(map(run, names))
    every = seen(*rows, runs=runs)
    at = said(every).index("*Without a result:*")
    assert [line.partition(" in ")[0] for line in said(every)[at + 1 : at + 6]] == [
        "spot training findings: 5 sweeps",
        "unused volumes: 4 sweeps",
        "hung training jobs: 3 sweeps",
        "idle notebooks: 2 sweeps",
        "idle endpoints: 1 sweep",
    ]
    more = seen(*rows, broken(77, detector="duplicate-artifacts"), runs=runs)
    assert said(more)[at + 6] == "and 1 sweep of 1 more detector"
    assert said(every)[at + 6 : at + 7] != ["and 0 sweeps of 0 more detectors"]
    alike = [broken(number, detector=name) for name in names[:2] for number in (1, 2)]
    whole = said(seen(*alike, runs=tuple(map(run, names[:2]))))
    assert any(line.startswith("All 2 detectors: 4 sweeps in 2 accounts") for line in whole)
    alone = said(seen(*alike[:2], runs=(run(),)))
    assert any(line.startswith("idle endpoints: 2 sweeps in 2 accounts") for line in alone)


def test_a_message_that_slack_would_refuse_ends_with_the_number_of_paragraphs_left_out() -> None:
    section = mrkdwn.section_block("x" * 1000)
    (*kept, left) = _cut([section] * 40)
    assert 5 < len(kept) < 40
    assert left == mrkdwn.context_block(f"and {40 - len(kept)} more paragraphs: see the dashboard")
    assert mrkdwn.fits_message([*kept, left])
    assert not mrkdwn.fits_message([*kept, section, left])
    assert _cut([{"text": "x" * 40_000}]) == []


def test_of_a_list_as_many_lines_stand_as_have_room() -> None:
    assert _lines(["a", "b"], 2) == ["a", "b"]
    assert _lines(["a", "b", "c"], 2) == ["a", "b", "c"], "one more takes a line in any case"
    assert _lines(["a", "b", "c", "d"], 2) == ["a", "b", "and 2 more"]
