"""What Slack is told: money first, one message, nobody called by accident, never more than Slack takes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_janitor.core.model import Cost, Evidence, Finding, Kept, Mode, Value
from ml_janitor.core.results import Cause, CauseCode, Outcome, Overlap, Result, Sweep, make_cause
from ml_janitor.ledger.findings import RecordedFindings
from ml_janitor.report.announcement import announce_sweep, owners_in_thread
from ml_janitor.report.digest import SweepRow, make_digest
from ml_janitor.report.finding_words import cost_text, instead_sentence
from ml_janitor.report.mrkdwn import (
    LARGEST_MESSAGE,
    LONGEST_SECTION,
    Message,
    Post,
    as_sentence,
    blocks_size,
    code_span,
    fits_message,
    header_block,
    join_lines,
    prose,
    section_block,
)
from ml_janitor_sandbox.slack.workspace import mentions
from reports import ACCOUNT, NOW, accruing, finding, full, result, standing, sweep, sweep_row
from slack_types import assert_accepted, compiled
from tables import cases

MANAGED, UNSURE = make_cause(CauseCode.MANAGED, "terraform"), make_cause(CauseCode.NOT_PROVEN, "likely", "")
PEOPLE = {"maria.lopez@acme.example": "U7"}


def posted(sweep: Sweep, new: int | None = None, people: Mapping[str, str] = PEOPLE, **more: str) -> Post:
    """The post of *sweep* when its first *new* findings were never announced."""
    found = sweep.findings[:new]
    post = announce_sweep(sweep, RecordedFindings(new=found, entries={}), now=NOW, people=people, **more)
    assert post is not None
    return post


LAMP = result("rule", "lamp", finding("x", standing("1")))


@cases(
    "overlap, said",
    (None, ""),
    ((LAMP.target.arn.upper(), "0", "0"), "Instead of what other proposes: not in the sums."),
    ((LAMP.target.arn, "5", "0"), "Instead of what other proposes: only $5.00 a month of it is in the sums."),
    (("arn:x", "0", "7"), "Instead of what other on vase proposes: only $7.00 so far of it is in the sums."),
)
def test_what_counts_instead_of_a_finding_is_named(overlap: tuple[str, str, str] | None, said: str) -> None:
    whole = LAMP
    if overlap is not None:
        arn, monthly, accrued = overlap
        dollars = {"monthly_usd": Decimal(monthly), "accrued_usd": Decimal(accrued)}
        whole = replace(LAMP, overlap=Overlap(detector="other", arn=arn, name="vase", **dollars))
    assert instead_sentence(whole) == said


@cases(
    "cost, said",
    (standing("1"), "$730 a month"),
    (accruing("2", 3), "$6.00 so far, $2.00 more every hour"),
    (Cost.saving(Decimal(7), once_usd=Decimal(14)), "$7.00 a month and $14.00 once, paid back in 60 days"),
    (standing(None), "price unknown"),
    (None, ""),
)
def test_the_cost_of_a_finding_in_a_few_words(cost: Cost | None, said: str) -> None:
    assert cost_text(result("rule", "lamp", finding("x", cost))) == said


def messages(post: Post) -> tuple[Message, ...]:
    return (post.main, *post.replies)


def shown(message: Message) -> list[str]:
    """The texts of a message's blocks."""
    return [(block.get("text") or block["elements"][0])["text"] for block in message.blocks]


def many(number: int, *owners: str | None) -> Sweep:
    """A sweep with so many findings, each cheaper than the one before, whose owners take turns."""
    whose = owners or (None,)
    return sweep(
        "idle-endpoints",
        *(
            result(
                "idle-endpoints",
                f"endpoint-{k}",
                finding("nobody calls it", standing(str(number - k))),
                owner=whose[k % len(whose)],
            )
            for k in range(number)
        ),
    )


# --- the message ----------------------------------------------------------------------------------


def test_nothing_new_says_nothing() -> None:
    assert announce_sweep(full().sweeps[0], RecordedFindings(new=(), entries={}), now=NOW) is None


@cases(
    "nouns, expected",
    ([None], "1 new hung training job"),
    (["unused warm pool"], "1 new unused warm pool"),
    ([None, "hung training job", "hung training job"], "3 new hung training jobs"),
    (
        ["hung processing job", "hung training job", "hung training job"],
        "2 new hung training jobs and 1 hung processing job",
    ),
    (
        ["hung training job", "hung training job", "hung processing job", "unused warm pool", None],
        "3 new hung training jobs, 1 hung processing job and 1 more",
    ),
)
def test_findings_of_several_kinds_are_called_what_they_are(nouns: list[str | None], expected: str) -> None:
    found = [
        result("hung-training-jobs", f"job-{n}", replace(finding("it hangs", None), noun=noun))
        for n, noun in enumerate(nouns)
    ]

    assert posted(sweep("hung-training-jobs", *found)).main.text.startswith(f"{expected} in account ")


def test_the_message_says_it_all_money_first() -> None:
    post = posted(full().sweeps[0], 3, report="s3://reports/r.html", keep_tag="janitor:keep")
    assert post.main.text == (
        "$8,245 a month: 3 new idle endpoints in account 123456789012, us-east-1. "
        "The dearest is fraud-scoring-v2-canary."
    )
    assert shown(post.main) == [
        "$8,245 a month: 3 new idle endpoints",
        "In account 123456789012, us-east-1, as of 2026-10-06 03:00 UTC.",
        (
            "`fraud-scoring-v2-canary`  *$5,256 a month*\n"
            "Owned by maria.lopez@acme.example, waste since 2026-08-26 (41 days), proven.\n"
            "No request in 7 days on either of its 2 variants; the last one was 41 days ago."
        ),
        (
            "`recsys-candidate-ranker-shadow-experiment-2026-03-blue-green`  *$2,792 a month*\n"
            "Owned by recsys, waste since 2026-07-08 (90 days), proven.\n"
            "No request in 7 days; it never had one since it was made 90 days ago."
        ),
        (
            "`churn-propensity`  *$196 a month*\n"
            "No owner tag, since when is unknown, likely but not proven.\n"
            "No datapoint of Invocations in 7 days, while its CPU metrics arrive."
        ),
        (
            "*Could not be judged:* 1 of 16 looked at. It was kept. Why: The metrics could not be read: "
            "GetMetricData: AccessDenied: not authorized to perform cloudwatch:GetMetricData."
        ),
        (
            "*What would happen:* Delete the endpoint (its configuration and models stay). "
            "This is a dry run: nothing was changed."
        ),
        (
            "Besides: 1 idle endpoint known from before. To keep one for good, tag it `janitor:keep=true`. "
            "The whole report: `s3://reports/r.html`"
        ),
    ]


def test_a_job_says_what_it_cost_and_what_an_hour_more_does() -> None:
    post = posted(full().sweeps[2])
    assert shown(post.main)[0] == "$12,925 so far, $48.96 more every hour: 1 new hung training job"


def test_a_sweep_that_broke_off_says_so() -> None:
    assert any(
        said.startswith("*Not everything could be looked at*, so there may be more. sagemaker:List")
        for said in shown(posted(full().sweeps[1]).main)
    )


@cases(
    "cost, headline",
    (standing(None), "2 new untagged resources, price unknown"),
    (None, "2 new untagged resources"),
    (standing("0.1"), "$146 a month: 2 new untagged resources"),
)
def test_an_unknown_price_is_never_nothing(cost: Any, headline: str) -> None:
    found = [result("untagged-resources", name, finding("no tag", cost)) for name in "ab"]
    assert shown(posted(sweep("untagged-resources", *found)).main)[0] == headline


def test_a_sum_says_what_it_leaves_out() -> None:
    assert shown(posted(full().sweeps[0]).main)[1].endswith("The sum leaves out 1 whose price is unknown.")


def test_many_findings_are_summed_up_by_owner() -> None:
    said = shown(posted(many(57, "a", "b", "c", "d", "e", "f", None)).main)
    assert said[0] == "$1,206,690 a month: 57 new idle endpoints"
    assert said[2].startswith("*Whose they are:* a (9 for $")
    assert said[2].endswith("and 2 other owners\n*The dearest 3 of them:*")
    assert sum("`endpoint-" in text for text in said) == 3


@cases("noun, several", ("job family", "job families"), ("bucket of old objects", "buckets of old objects"))
def test_what_is_found_is_counted_by_its_own_name(noun: str, several: str) -> None:
    verdict = replace(finding("on demand", standing("1")), noun=noun)
    found = [result("spot-training", str(k), verdict) for k in range(2)]
    assert shown(posted(sweep("spot-training", *found)).main)[0].endswith(f"2 new {several}")


@cases(
    "actions, said",
    ("001", "2 times: do 0; once: do 1."),
    ("012340123", "2 times: do 0; 2 times: do 1; 2 times: do 2; 2 other actions"),
)
def test_different_actions_are_counted(actions: str, said: str) -> None:
    found = [
        result("idle-endpoints", str(at), finding("idle", standing("1"), action=f"do {kind}"))
        for at, kind in enumerate(actions)
    ]
    told = shown(posted(sweep("idle-endpoints", *found)).main)
    assert any(text.startswith(f"*What would happen:* {said}") for text in told)


def test_unjudged_resources_give_their_commonest_reason() -> None:
    unknown = [
        result("idle-endpoints", str(k), Kept(reason=reason, unknown=True))
        for k, reason in enumerate(["no metrics", "no tags", "no metrics"])
    ]
    said = shown(posted(sweep("idle-endpoints", *many(1).findings, *unknown)).main)
    assert "*Could not be judged:* 3 of 4 looked at. They were kept. 2 of them because no metrics." in said


def test_marks_warn_of_production_and_of_tools() -> None:
    one = many(1).results[0]
    tags = {"environment": "prod", "aws:cloudformation:stack-name": "recsys"}
    tagged = replace(one, target=replace(one.target, tags=Value(tags)))
    (_, facts, _) = shown(posted(sweep("idle-endpoints", tagged)).main)[2].split("\n")
    assert facts.endswith("proven, managed by CloudFormation stack recsys, environment prod.")


# --- the thread -----------------------------------------------------------------------------------


def test_the_thread_groups_by_owner_and_mentions_each_once() -> None:
    post = posted(many(6, "maria.lopez@acme.example", "recsys", None))
    (reply,) = post.replies
    said = shown(reply)
    assert [text for text in said if "`endpoint-" not in text] == [
        "<@U7>, these are yours: $6,570 a month",
        "*recsys*: 2 for $5,110 a month",
        "*no owner tag*: 2 for $3,650 a month",
    ]
    assert [re.findall(r"endpoint-\d", text) for text in said if "`endpoint-" in text] == [
        ["endpoint-0"], ["endpoint-3"], ["endpoint-1"], ["endpoint-4"], ["endpoint-2"], ["endpoint-5"],
    ]  # fmt: skip
    assert mentions(reply.text, list(reply.blocks)) == ["@U7"]
    assert mentions(post.main.text, list(post.main.blocks)) == []


def test_the_spelling_of_an_owner_does_not_split_a_group() -> None:
    assert (
        len([said for said in shown(posted(many(2, "Recsys", "recsys")).replies[0]) if "for $" in said]) == 1
    )


def test_the_thread_tells_twenty_and_counts_the_rest() -> None:
    post = posted(many(57))
    told = [said for reply in post.replies for said in shown(reply)]
    assert sum("`endpoint-" in said for said in told) == 20
    assert told[-1] == "and 37 more: see the report"
    assert "more: see" not in str(posted(many(20)).replies)


def test_the_thread_says_what_could_not_be_read_and_what_differs() -> None:
    (jobs, notebooks) = (full().sweeps[2].findings, full().sweeps[1].findings)
    text = "\n".join(shown(posted(sweep("idle-notebooks", *notebooks, *jobs)).replies[0]))
    assert "Could not be read: opened by (LookupEvents: ThrottlingException: Rate exceeded)" in text
    assert "Would happen: stop the job and end its warm pool" in text


def test_a_long_thread_takes_several_replies_and_repeats_the_name_but_not_the_mention() -> None:
    long = [
        replace(one, verdict=replace(one.verdict, reason="x" * 400, action=f"do {k} " + "y" * 190))
        for k, one in enumerate(many(20, "maria.lopez@acme.example").findings)
        if isinstance(one.verdict, Finding)
    ]
    post = posted(sweep("idle-endpoints", *long))
    assert len(post.replies) == 2
    assert shown(post.replies[1])[0] == "*maria.lopez@acme.example*, continued"
    assert [mentions("", list(reply.blocks)) for reply in post.replies] == [["@U7"], []]
    assert_accepted(*messages(post))


def test_only_owners_who_are_told_are_looked_up() -> None:
    sweep = many(30, *(f"{k}@x" for k in range(29)), None)
    assert owners_in_thread(sweep.findings) == tuple(f"{k}@x" for k in range(20))


# --- hostile text ---------------------------------------------------------------------------------


@cases(
    "hostile, written",
    ("<!channel>", "&lt;!channel&gt;"),
    ("<@U7> & co", "&lt;@U7&gt; &amp; co"),
    ("*big* ~gone~ `code`", "\u2217big\u2217 \u223cgone\u223c 'code'"),
    ("_slanted_ my_name", "\uff3fslanted\uff3f my_name"),
    (":tada: at 03:00:12", "\u2236tada: at 03:00:12"),
    ("line\nbreak \u202etxt", r"line\nbreak \u202etxt"),
    ("see arn:aws:s3:::a_*_b, twice", "see `arn:aws:s3:::a_*_b`, twice"),
    ("s3://b/<x>`.", "`s3://b/&lt;x&gt;'`."),
)
def test_prose_formats_nothing_and_mentions_nobody(hostile: str, written: str) -> None:
    assert prose(hostile) == written


def test_a_name_is_copied_as_it_is() -> None:
    assert code_span("a*b_c`<!here>") == "`a*b_c'&lt;!here&gt;`"
    assert code_span("  ") == "`(no name)`"


@given(st.text(min_size=1, max_size=700), st.integers(40, 500))
def test_escaped_text_is_never_longer_than_asked(text: str, longest: int) -> None:
    for said in (prose(text, longest), code_span(text, longest)):
        assert 0 < len(said) <= longest
        assert "\n" not in said
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", said)


def test_a_sentence_keeps_the_spelling_of_a_name() -> None:
    assert as_sentence("no request") == "No request."
    assert as_sentence("sagemaker:List broke off.") == "sagemaker:List broke off."


def test_slack_makes_no_link_and_no_emoji_of_what_aws_says() -> None:
    """What is text stays text: without these two members, Slack links addresses and draws `:tada:`."""
    assert section_block("see evil.example")["text"] == {
        "type": "mrkdwn",
        "text": "see evil.example",
        "verbatim": True,
    }
    assert header_block(":tada:")["text"] == {"type": "plain_text", "text": ":tada:", "emoji": False}


def test_a_message_stays_below_what_slack_takes() -> None:
    """Slack takes 50 blocks, and refuses from 13,200 characters on."""
    assert fits_message([section_block("x")] * 45)
    assert not fits_message([section_block("x")] * 46)
    room = [section_block("x" * 2900)] * 4
    assert (blocks_size(room) < 12_000, blocks_size([*room, section_block("x" * 300)]) > 12_000) == (
        True,
        True,
    )
    assert fits_message(room)
    assert not fits_message([*room, section_block("x" * 300)])
    assert blocks_size([{"a": "\u00e4"}]) == len('{"a": "\u00e4"}'.encode()) + 2


def test_lines_become_paragraphs_that_fit() -> None:
    said = [str(k) * 100 for k in range(90)]
    paragraphs = list(join_lines(said))
    assert "\n".join(paragraphs).split("\n") == said
    assert max(map(len, paragraphs)) <= LONGEST_SECTION
    assert header_block("a :smile:")["text"] == {"type": "plain_text", "text": "a :smile:", "emoji": False}
    with pytest.raises(ValueError, match="takes 3,000 characters"):
        section_block("x" * 3001)


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "<!channel>",
            "<@U7>",
            "<!subteam^S1>",
            "*_~`" * 200,
            "&" * 900,
            "\U0001f525" * 900,
            "]>\n\n```",
            '"\\' * 500,
        ]
    ),
)


@st.composite
def reports(draw: st.DrawFn) -> tuple[Sweep, int]:
    """A sweep with up to 2,000 findings made from a few hostile ones, and how many of them are new."""
    seeds = draw(
        st.lists(
            st.tuples(
                HOSTILE, HOSTILE, HOSTILE, st.one_of(st.none(), HOSTILE), HOSTILE, st.sampled_from("sjun")
            ),
            min_size=1,
            max_size=6,
        )
    )
    number = draw(st.one_of(st.integers(1, 30), st.integers(1, 2000)))
    prices = {"s": standing("7.2"), "j": accruing("48.96", 264), "u": standing(None), "n": None}
    results: list[Result] = []
    for k in range(number):
        name, reason, action, owner, unread, price = seeds[k % len(seeds)]
        verdict = finding(reason, prices[price], action=action, days=k, unread=unread or None)
        tagged = result("idle-endpoints", f"{name}{k}", verdict, owner=owner)
        tags = {"environment": "prod", "managed-by": reason}
        results.append(replace(tagged, target=replace(tagged.target, tags=Value(tags))))
    unknown = [result("idle-endpoints", f"u{k}", Kept(reason=draw(HOSTILE), unknown=True)) for k in range(2)]
    error = draw(st.one_of(st.none(), HOSTILE))
    return sweep("idle-endpoints", *results, *unknown, error=error), draw(st.integers(1, number))


def test_the_message_tells_fewer_findings_where_three_would_be_too_many_bytes() -> None:
    fire = "\U0001f525" * 900
    found = [
        result("idle-endpoints", fire, finding(fire, standing("1"), action=f"{k}{fire}"), owner=f"{k}{fire}")
        for k in range(9)
    ]
    unknown = result("idle-endpoints", "u", Kept(reason=fire, unknown=True))
    post = posted(sweep("idle-endpoints", *found, unknown, error=fire))
    assert_accepted(*messages(post))
    assert blocks_size(post.main.blocks) <= LARGEST_MESSAGE
    assert sum(said.startswith("`") for said in shown(post.main)) in {1, 2}


@settings(max_examples=60)
@given(reports())
def test_slack_takes_whatever_aws_says(report: tuple[Sweep, int]) -> None:
    sweep, new = report
    post = posted(sweep, new, {"<@U7>": "U7"}, report="s3://r/" + "<" * 500, keep_tag="keep")
    assert_accepted(*messages(post))
    called = [who for message in messages(post) for who in mentions(message.text, list(message.blocks))]
    assert called in ([], ["@U7"])
    assert sum(said.startswith("`") for reply in post.replies for said in shown(reply)) == min(new, 20)


@settings(max_examples=60)
@given(st.lists(st.tuples(HOSTILE, st.booleans(), st.integers(0, 9)), min_size=1, max_size=400))
def test_slack_takes_any_digest(days: list[tuple[str, bool, int]]) -> None:
    rows = [sweep_row(account=said, error=said or None, late=late, new=new) for said, late, new in days]
    post = make_digest(rows, now=NOW)
    assert_accepted(*messages(post))
    assert not any(mentions(message.text, list(message.blocks)) for message in messages(post))


# --- the digest -----------------------------------------------------------------------------------


NEVER = SweepRow(detector="idle-notebooks", account=ACCOUNT, region="us-east-1", last=None)


@cases(
    "rows, text",
    (
        [sweep_row(), sweep_row()],
        "Nothing new today. 4 known findings cost $2,409 a month. All 2 sweeps ran.",
    ),
    ([sweep_row(usd="0", found=0)], "Nothing new today. The sweep ran."),
    (
        [sweep_row(found=1, unknown=3)],
        (
            "Nothing new today. 1 known finding costs $1,204 a month. The sweep ran. "
            "3 resources could not be judged."
        ),
    ),
)
def test_a_quiet_day_is_one_paragraph(rows: list[SweepRow], text: str) -> None:
    message = make_digest(rows, now=NOW).main
    assert (message.text, len(message.blocks)) == (text, 1)


def test_a_day_sums_up_what_is_new_what_broke_and_what_did_not_run() -> None:
    rows = [
        sweep_row(unpriced=1),
        sweep_row("hung-training-jobs", "0", new=3, accrued_usd=Decimal(12925), unknown=2),
        sweep_row("duplicate-artifacts", "0", error="s3:ListBuckets: AccessDenied", found=0),
        sweep_row("untagged-resources", "0", late=True, found=0),
        NEVER,
    ]
    message = make_digest(rows, now=NOW, time_zone="Europe/Berlin").main
    assert message.text == (
        "Daily digest. 4 findings cost at least $1,204 a month and $12,925 so far; 3 are new. "
        "2 sweeps of 5 did not run."
    )
    assert shown(message) == [
        "4 findings cost at least $1,204 a month and $12,925 so far; 3 are new",
        (
            "All sweeps of account 123456789012, us-east-1, as of Tue 6 Oct 05:00 (Europe/Berlin). "
            "The sum leaves out 1 whose price is unknown."
        ),
        ("*Did not run:*\nuntagged resources: the last time was 30 hours ago\nidle notebooks: it never has"),
        "*Not complete:*\nduplicate artifacts: s3:ListBuckets: AccessDenied",
        ("*Found:*\n*$12,925 so far*: 2 hung training jobs, 3 new\n*$1,204 a month*: 2 idle endpoints"),
        "2 resources could not be judged and were kept.",
    ]

    elsewhere = replace(rows[0], region="eu-west-1")
    several = shown(make_digest([*rows, elsewhere], now=NOW).main)
    assert several[1].startswith("All sweeps, as of Tue 6 Oct 03:00 (UTC).")
    assert "2 idle endpoints in 123456789012, eu-west-1" in several[4]


@pytest.mark.parametrize("loud", [sweep_row(new=1), sweep_row(error="x"), sweep_row(late=True), NEVER])
def test_what_is_not_quiet_is_told(loud: SweepRow) -> None:
    assert len(make_digest([sweep_row(), loud], now=NOW).main.blocks) > 1


# --- what Slack's own types say -------------------------------------------------------------------


def samples() -> list[Message]:
    """Every kind of message there is."""
    posts = [posted(sweep, report="s3://r", keep_tag="keep") for sweep in full().sweeps]
    posts += [
        posted(many(57, "a", None)),
        make_digest([sweep_row()], now=NOW),
        make_digest([sweep_row(new=1), NEVER], now=NOW),
    ]
    return [message for post in posts for message in messages(post)]


def test_the_messages_have_slacks_own_types(tmp_path: Path) -> None:
    assert compiled(tmp_path, *([*message.blocks] for message in samples())) == ""


@cases(
    "bad",
    {"type": "header", "text": {"type": "mrkdwn", "text": "x"}},
    {"type": "section", "text": {"type": "mrkdwn", "text": "x", "colour": "red"}},
    {"type": "sections"},
)
def test_the_compiler_would_notice(tmp_path: Path, bad: dict[str, Any]) -> None:
    assert "error TS" in compiled(tmp_path, [bad])


def test_the_samples_are_accepted() -> None:
    assert_accepted(*samples())


def test_evidence_of_every_kind_is_told() -> None:
    one = many(1).results[0]
    assert isinstance(one.verdict, Finding)
    seen = tuple(Evidence(f"signal {k}", error="denied") for k in range(5))
    told = shown(
        posted(sweep("idle-endpoints", replace(one, verdict=replace(one.verdict, evidence=seen)))).replies[0]
    )
    assert told[1].count("Could not be read: signal") == 3


# --- of an armed detector ------------------------------------------------------------------------


def armed(*outcomes: tuple[Outcome, Cause | None]) -> Sweep:
    """An armed sweep whose findings came to these outcomes, with their causes."""
    made = [
        replace(
            result("idle-endpoints", f"e{number}", finding("idle", standing("0.23"))),
            outcome=outcome,
            cause=why,
        )
        for number, (outcome, why) in enumerate(outcomes)
    ]
    return replace(sweep("idle-endpoints", *made), mode=Mode.ACT)


def test_what_is_only_reported_is_not_said_to_happen() -> None:
    """Whoever is paged by it would look for the date on which it goes."""
    of = armed((Outcome.ADVISED, MANAGED), (Outcome.ADVISED, MANAGED), (Outcome.ADVISED, UNSURE))

    said = shown(posted(of).main)

    assert (
        "*Only reported:* 2 times: terraform manages it; once: it is likely, and only what is proven is "
        "acted on. Nothing is done. Proposed: Delete the endpoint (its configuration and models stay)."
    ) in said
    assert "would happen" not in str(said)
    different = replace(of.results[0], verdict=finding("idle", standing("1"), action="ask for it"))
    thread = str(messages(posted(replace(of, results=(different, *of.results[1:]))))[1:])
    assert ("Proposed: ask for it" in thread, "Would happen" in thread) == (True, False)


def test_what_may_happen_and_what_is_only_reported_are_told_apart() -> None:
    said = str(shown(posted(armed((Outcome.ADVISED, MANAGED), (Outcome.WOULD_ACT, None))).main))

    assert "*What would happen:* Delete the endpoint (its configuration and models stay)." in said
    assert "*Only reported:* Terraform manages it. Nothing is done. Proposed: Delete the endpoint" in said


def test_what_was_warned_about_or_done_in_this_very_sweep_is_not_known_from_before() -> None:
    of = armed(
        (Outcome.ADVISED, MANAGED),
        (Outcome.WARNED, None),
        (Outcome.ACTED, make_cause(CauseCode.UNDO_WITH, "undo", "1")),
        (Outcome.WAITING, make_cause(CauseCode.NOT_DUE)),
    )

    (*_, small_print) = shown(posted(of, new=1).main)

    assert small_print == "Besides: 1 idle endpoint known from before, $168 a month."
