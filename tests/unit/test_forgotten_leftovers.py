"""The decide tables of forgotten-leftovers, and which images go together."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any, cast

import pytest

from conftest import ACCOUNT, DAY, NOW, REGION, SECOND
from fakes import target_at
from ml_janitor.aws.activity import LogGroup
from ml_janitor.aws.calls import ReadError, UnreadEntriesError, UnreadEntry
from ml_janitor.aws.client import Aws
from ml_janitor.aws.images import IMAGE_REFERENCE, EcrImage, ImageManifest
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.core.model import Absent, Finding, NotRead, SweepNote, Target, Unreadable, Value
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.forgotten_leftovers import failed_jobs, image_repositories, log_groups
from ml_janitor.detectors.forgotten_leftovers.failed_jobs import JobOutput
from ml_janitor.detectors.forgotten_leftovers.image_repositories import ImageRepository, unused_images
from ml_janitor.detectors.forgotten_leftovers.log_groups import GrowingLogGroup
from ml_janitor.detectors.forgotten_leftovers.rule import ForgottenLeftovers, Leftover
from narrowing import not_none, of_type
from tables import cases
from verdicts import expect_verdict, shown

PATIENCE = 120 * DAY
RULE = ForgottenLeftovers()
NOBODY = cast("Aws", None)
HERE = StoragePrices(REGION, None)
GROUP = LogGroup(
    name="/aws/sagemaker/TrainingJobs",
    arn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/TrainingJobs",
    created=NOW - 400 * DAY,
    stored=800 * GB,
    kept=None,
    delivered=False,
)


def group(arrived: object = 100.0 * GB, prices: StoragePrices = HERE, **changed: object) -> GrowingLogGroup:
    of = replace(GROUP, **changed)  # type: ignore[arg-type]
    target = Target(
        arn=of.arn, name=of.name, kind="log-group", account=ACCOUNT, region=REGION, created=of.created
    )
    signal = arrived if isinstance(arrived, Absent | Unreadable) else Value(arrived)
    return GrowingLogGroup(target=target, group=of, arrived=signal, prices=prices)  # type: ignore[arg-type]


def test_what_is_certainly_older_is_what_is_saved() -> None:
    decided = of_type(Finding, RULE.decide(group(), NOW))

    assert decided.action.endswith("--log-group-name /aws/sagemaker/TrainingJobs --retention-in-days 90")
    assert RULE.decide(group(prices=StoragePrices("eu-west-3", None)), NOW).cost.known is False  # type: ignore[union-attr]


def image(letter: str, age: timedelta = 300 * DAY, **more: object) -> EcrImage:
    given = {"tags": (), "pushed": NOW - age, "pulled": None, "archived": False, "subject": None}
    return EcrImage(digest=f"sha256:{letter * 64}", **(given | more))  # type: ignore[arg-type]


BASE = {"sha256:base": 2 * GB}
OLD, NEW = image("a", tags=("1.0",)), image("b", DAY, tags=("2.0",))
MADE_OF = {
    OLD.digest: ImageManifest({**BASE, "sha256:old": 3 * GB}, ()),
    NEW.digest: ImageManifest({**BASE, "sha256:new": 3 * GB}, ()),
}


def repository(
    *images: EcrImage, named: object = frozenset({"2.0"}), made_of: object = MADE_OF, name: str = "trainer"
) -> ImageRepository:
    def signal(given: object) -> object:
        return given if isinstance(given, Unreadable | NotRead) else Value(given)

    target = target_at(f"repository/{name}", NOW - 400 * DAY, service="ecr")
    return ImageRepository(
        target=target,
        images=Value(images or (OLD, NEW)),
        named=signal(named),  # type: ignore[arg-type]
        manifests=signal(made_of),  # type: ignore[arg-type]
        prices=HERE,
    )


def test_unused_images_are_shown_by_their_tags_five_at_most() -> None:
    held = [image(letter, tags=(f"{letter}.0",)) for letter in "134567"]
    made_of = {one.digest: ImageManifest({one.digest: GB}, ()) for one in held}

    decided = RULE.decide(repository(*held, made_of=made_of), NOW)

    tags = [one.value for one in decided.evidence if one.signal == "unused"]
    assert tags == ["1.0", "3.0", "4.0", "5.0", "6.0"]
    assert f"imageDigest={held[0].digest} and the 5 others" in decided.action  # type: ignore[union-attr]
    exactly = replace(RULE, min_gb=6).decide(repository(*held, made_of=made_of), NOW)
    assert isinstance(exactly, Finding), "as much as it is judged from on is enough"


def test_an_index_and_its_images_are_used_together() -> None:
    index, amd, arm = image("c", DAY, tags=("3.0",)), image("d"), image("e")
    made_of = {
        index.digest: ImageManifest({}, (amd.digest, arm.digest)),
        amd.digest: ImageManifest({"sha256:amd": GB}, ()),
        arm.digest: ImageManifest({"sha256:arm": GB}, ()),
    }

    assert unused_images((index, amd, arm), made_of, (), PATIENCE, NOW) == ([], 0)
    old = replace(index, pushed=NOW - 300 * DAY)
    assert unused_images((old, amd, arm), made_of, (), PATIENCE, NOW) == ([old, amd, arm], 2 * GB)
    pulled = replace(arm, pulled=NOW)  # by its digest: whether the index was pulled too is not known
    assert unused_images((old, amd, pulled), made_of, (), PATIENCE, NOW) == ([], 0)


def test_what_is_freed_is_what_is_stored_less_what_stays() -> None:
    """In random repositories, freed is the difference of their distinct layers before and after."""
    for seed in range(200):
        random = Random(seed)  # noqa: S311 - it has to come out the same again
        layers = {f"sha256:{number}": 2**number for number in range(8)}
        held = [image(letter, random.choice([DAY, 300 * DAY])) for letter in "0123456789"]
        made_of = {
            one.digest: ImageManifest(dict(random.sample(list(layers.items()), 3)), ()) for one in held
        }
        left, freed = unused_images(held, made_of, (), PATIENCE, NOW)

        def stored(images: list[EcrImage], made_of: dict[str, ImageManifest] = made_of) -> int:
            return sum(dict(pair for one in images for pair in made_of[one.digest].layers.items()).values())

        assert freed == stored(held) - stored([one for one in held if one not in left])
        assert {one.digest for one in left} == {one.digest for one in held if NOW - one.pushed > PATIENCE}
        again, as_much = unused_images(held[::-1], made_of, (), PATIENCE, NOW)
        assert (set(again), as_much) == (set(left), freed)


@cases(
    "text, names",
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/ml/trainer:2.0", ("ml/trainer", "2.0", None)),
    ("123456789012.dkr.ecr.us-east-1.amazonaws.com/trainer", ("trainer", None, None)),
    (f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/t@{OLD.digest}", ("t", None, OLD.digest)),
    (f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/t:1@{OLD.digest}", ("t", "1", OLD.digest)),
    ('{"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/a.b-c_d:x-1"}', ("a.b-c_d", "x-1", None)),
)
def test_references(text: str, names: tuple[str, str | None, str | None]) -> None:
    match = not_none(IMAGE_REFERENCE.search(text))

    assert (match["account"], match["repository"], match["tag"], match["digest"]) == (ACCOUNT, *names)


@cases("wrong", {"retention": 45 * DAY}, {"retention": 90 * DAY + SECOND}, {"patience": 90 * DAY})
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="days"):
        replace(RULE, **wrong)  # type: ignore[arg-type]
    months, years = (
        [30, 60, 90, 120, 150, 180],
        [365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
    )
    assert sorted(log_groups.ALLOWED_RETENTIONS) == months + years  # "PutRetentionPolicy", API reference


@cases(
    "name, globs, why",
    ("/aws/sagemaker/TrainingJobs", ("/aws/sagemaker/*",), None),
    ("/aws/sagemaker/TrainingJobs", ("/aws/sagemaker/Endpoints/*", "*Jobs"), None),
    ("/aws/sagemaker/TrainingJobs", ("/aws/sagemaker/TrainingJobs",), None),
    ("/aws/sagemaker/TrainingJobs", (), "act_on_groups does not name it"),
    ("/aws/lambda/etl", ("/aws/sagemaker/*",), "act_on_groups does not name it"),
    ("/aws/sagemaker/Audit-Trail", ("*",), 'its name says "audit"'),
    ("aws-cloudtrail-logs-1", ("aws-*",), 'its name says "cloudtrail"'),
    ("/vpc/flow-logs", ("*",), 'its name says "flowlog"'),
    ("/vpc/flow-logs", ("/vpc/flow-logs",), None),
    ("ML-Janitor-sweeps", ("ML-Janitor-sweeps",), "it is the janitor's own"),
)
def test_which_groups_are_only_reported(name: str, globs: tuple[str, ...], why: str | None) -> None:
    decided = of_type(Finding, replace(RULE, act_on_groups=globs).decide(group(name=name), NOW))

    assert (decided.spared or "").startswith(why or "")
    assert (decided.spared is None) is (why is None)


def test_what_was_set_can_be_taken_away_everywhere() -> None:
    assert ForgottenLeftovers(act_on_groups=()).undoes == log_groups.RETENTION_UNDO_GRANTS
    assert (RULE.cleanup.grace, ForgottenLeftovers(patience=118 * DAY).patience) == (3 * DAY, 118 * DAY)


@pytest.mark.parametrize("glob", ["", "/aws/sage maker/*", "/aws/[abc]", "arn:aws:logs:*"])
def test_globs_that_match_no_group_are_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="matches no log group"):
        replace(RULE, act_on_groups=(glob,))


def test_what_may_be_set_is_what_the_globs_name() -> None:
    grants = replace(RULE, act_on_groups=("/aws/sagemaker/*", "etl")).acts

    assert {(one.action, one.on) for one in grants} == {
        ("logs:PutRetentionPolicy", "log-group:/aws/sagemaker/*:*"),
        ("logs:PutRetentionPolicy", "log-group:etl:*"),
        ("logs:ListTagsForResource", "log-group:/aws/sagemaker/*"),
        ("logs:ListTagsForResource", "log-group:etl"),
    }
    assert replace(RULE, act_on_groups=()).never_acts() == "act_on_groups is empty, so no retention is set"
    assert RULE.never_acts() is None


def output(user: object = Absent(), held: object = None) -> JobOutput:
    target = target_at("training-job/churn-1", NOW - 200 * DAY)
    return JobOutput(
        target=target,
        folder="s3://models/out/churn-1/",
        status="Stopped",
        ended=NOW - 199 * DAY,
        user=user,  # type: ignore[arg-type]
        held=held if isinstance(held, Absent | Unreadable) else Value(held or {}),  # type: ignore[arg-type]
        prices=HERE,
    )


@cases(
    "candidate, verdict, reason",
    # log groups
    (group(), "found", "holds 800 GB, of which at least 700 GB are older than 90 days"),
    (group(Absent()), "found", "at least 800 GB"),
    (group(Unreadable("throttled")), "unknown", "throttled"),
    (group(kept=365), "kept", "for 365 days"),
    (group(delivered=True), "kept", "stores nothing"),
    (group(created=NOW - 90 * DAY), "found", "at least 700 GB"),
    (group(created=NOW - 90 * DAY + SECOND), "kept", "judged from 90 days on"),
    (group(stored=GB - 1, arrived=Absent()), "kept", "judged from 1 GB on"),
    (group(stored=GB, arrived=Absent()), "found", "at least 1 GB"),
    (group(799.0 * GB), "found", "at least 1 GB"),
    (group(799.0 * GB + 1), "kept", "may all have arrived"),
    (group(9000.0 * GB), "kept", "may all have arrived"),
    # repositories
    (repository(), "found", "nobody pushed or pulled 1 of 2 images in 120 days"),
    (repository(), "found", "only they hold 3 GB"),
    (repository(named=frozenset({"1.0", "2.0"})), "kept", "hold 0 bytes"),
    (repository(named=frozenset({OLD.digest})), "kept", "hold 0 bytes"),
    (repository(named=frozenset()), "kept", "other services may"),
    (repository(named=frozenset(), name="batch-etl"), "found", "only they hold 3 GB"),
    (repository(named=Unreadable("Search: denied")), "unknown", "Search: denied"),
    (repository(made_of=Unreadable("denied")), "unknown", "denied"),
    (repository(made_of=NotRead()), "kept", "every image is named"),
    (repository(named=NotRead(), made_of=NotRead()), "kept", "every image was pushed or pulled"),
    (repository(replace(OLD, pulled=NOW - PATIENCE), NEW), "kept", "hold 0 bytes"),
    (repository(replace(OLD, pulled=NOW - PATIENCE - DAY), NEW), "found", "1 of 2"),
    (repository(replace(OLD, archived=True), NEW), "kept", "hold 0 bytes"),
    (repository(replace(OLD, subject=NEW.digest), NEW), "kept", "hold 0 bytes"),
    # outputs of failed jobs
    (output(held={"STANDARD": GB}), "found", "ended as Stopped 199 days ago and left 1 GB"),
    (output(held={"STANDARD": GB - 1}), "kept", "judged from 1 GB on"),
    (output(held={"STANDARD": GB // 2, "GLACIER": GB // 2}), "found", "left 1 GB"),
    (output(), "kept", "it left 0 bytes"),
    (output(held=Unreadable("denied")), "unknown", "denied"),
    (output(Value("model churn"), {"STANDARD": GB}), "kept", "needed by model churn"),
    (output(NotRead(), {"STANDARD": GB}), "unknown", "what refers to it was not read"),
    (output(Unreadable("Search: denied"), {"STANDARD": GB}), "unknown", "Search: denied"),
)
def test_what_is_left_over(candidate: Leftover, verdict: str, reason: str) -> None:
    expect_verdict(replace(RULE, repositories=("batch-*",)).decide(candidate, NOW), verdict, reason)
    assert "it left 0 bytes" in replace(RULE, min_gb=0).decide(output(), NOW).reason


@cases(
    "candidate, evidence, steps, usd, spared",
    (
        group(),
        {"stored": "800 GB", "arrived in 90 days": "100 GB"},
        ("it keeps every event for ever",),
        Decimal(21),
        None,
    ),
    (
        repository(
            OLD, image("c"), NEW, made_of={**MADE_OF, "sha256:" + "c" * 64: ImageManifest({"l": GB}, ())}
        ),
        {
            "images": 3,
            "unused images": 2,
            "bytes that only they hold": "4 GB",
            "unused": "sha256:" + "c" * 64,
        },
        (),
        Decimal("0.4"),  # of what stays, nothing
        "images are only reported",
    ),
    (
        output(held={"STANDARD": GB}),
        {"status": "Stopped", "folder": "s3://models/out/churn-1/", "bytes": "1 GB"},
        ("no model, package, endpoint, pipeline or other job refers to it",),
        Decimal("0.023"),
        "what jobs left is only reported",
    ),
    ids=["group", "repository", "output"],
)
def test_what_was_seen_on_the_way_to_a_finding(
    candidate: Leftover, evidence: dict[str, object], steps: tuple[str, ...], usd: Decimal, spared: str | None
) -> None:
    decided = of_type(Finding, RULE.decide(candidate, NOW))

    assert (shown(decided), decided.steps[:-1]) == (evidence, steps)
    assert (not_none(decided.cost).monthly_usd, decided.spared) == (usd, spared)


def test_an_output_costs_what_its_classes_do() -> None:
    decided = of_type(Finding, RULE.decide(output(held={"STANDARD": 10 * GB, "GLACIER_IR": 100 * GB}), NOW))

    month, folder = Decimal("0.63"), "arn:aws:s3:::models/out/churn-1/"
    assert (not_none(decided.cost).monthly_usd, decided.cost.shares) == (month, {folder: month})  # type: ignore[union-attr]
    unpriced = RULE.decide(output(held={"STANDARD": 10 * GB, "INTELLIGENT_TIERING": GB}), NOW)
    assert isinstance(unpriced, Finding)
    assert unpriced.cost is not None
    assert (unpriced.cost.known, unpriced.cost.shares) == (False, {})
    assert unpriced.cost.source == HERE.cost("INTELLIGENT_TIERING", GB).source


def listing(
    monkeypatch: pytest.MonkeyPatch, module: Any, *found: Leftover, error: ReadError | None = None
) -> None:
    """Let *module* find so much, and then break off with *error*, if any."""

    def find(*_: object) -> Iterator[Leftover]:
        yield from found
        if error:
            raise error

    monkeypatch.setattr(module, "find", find)


def test_a_broken_listing_is_an_error_and_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    listing(monkeypatch, log_groups, group(), error=ReadError("logs broke off"))
    listing(monkeypatch, image_repositories, repository())
    listing(monkeypatch, failed_jobs, error=ReadError("jobs broke off"))
    seen: list[Leftover | SweepNote] = []

    with pytest.raises(ReadError, match="logs broke off; jobs broke off"):
        seen.extend(RULE.find(NOBODY, NOW))
    listing(monkeypatch, log_groups)
    listing(monkeypatch, failed_jobs, output())
    assert list(RULE.find(NOBODY, NOW)) == [repository(), output()]
    unread = (UnreadEntry("churn-2", "denied"),)
    listing(monkeypatch, failed_jobs, output(), error=UnreadEntriesError("one of them", unread))
    with pytest.raises(UnreadEntriesError, match="denied") as lacking:
        list(RULE.find(NOBODY, NOW))
    assert lacking.value.entries == unread


def test_looking_again_takes_what_has_its_arn_among_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = repository(), repository(name="other")
    listing(monkeypatch, image_repositories, other, one)
    listing(monkeypatch, failed_jobs, output())

    assert RULE.look(NOBODY, one.target, NOW) == one
    assert RULE.look(NOBODY, output().target, NOW) == output()
    assert RULE.look(NOBODY, repository(name="gone").target, NOW) is None


def test_an_undo_says_what_it_takes_away() -> None:
    assert RULE.revert_effect(group().target, {"days": 90}) == (
        "the 90 days are taken off /aws/sagemaker/TrainingJobs again, unless somebody has set others: events"
        " that expired do not come back"
    )
