"""The audit of the demo account finds what is waste there, all of it, and nothing that only looks like it."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, NOW, REGION, seed_demo
from ml_janitor.aws.client import open_regions
from ml_janitor.aws.tags import Arn
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Finding
from ml_janitor.core.money import Totals
from ml_janitor.core.results import Report, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Detector
from ml_janitor.engine.run import run_detectors
from ml_janitor.report.finding_words import proposed_action
from ml_janitor.report.html import console_link, short_action
from ml_janitor.report.json import report_document
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.demo import Known, case_study
from ml_janitor_sandbox.demo.storage import MODEL_BUCKET
from ml_janitor_sandbox.server import Sandbox
from properties.worlds import RARE
from tables import cases

HUNG = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/llm-pretrain-7b-0924"
"""In training on 4 ml.p3.8xlarge at $14.688 an hour for 264 hours."""

KNOWN = [detector for detector in DETECTORS if detector.name in demo.JUDGES]
every_detector = pytest.mark.parametrize("detector", KNOWN, ids=lambda detector: detector.name)
"""Of which the demo tells what it ought to find. Of the others, their own tests do."""


@pytest.fixture(scope="module")
def report(_sandbox: Sandbox) -> Report:
    """One audit for all tests here, which only read it; with everything at its default."""
    Control(_sandbox.url).reset()
    seed_demo(Control(_sandbox.url))
    session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
    settings = Settings.load(overrides=[f'duplicate-artifacts.read_contents_in=["{MODEL_BUCKET}"]'])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", _sandbox.url)
        with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
            return run_detectors(settings.enabled(), accounts, now=NOW, policy=settings.policy)


@pytest.fixture(scope="module")
def charges(report: Report, _sandbox: Sandbox) -> list[Any]:  # noqa: ARG001 - it seeds the account
    """What the demo account is charged for."""
    return list(Control(_sandbox.url).charges())


@pytest.fixture(scope="module")
def sandbox_url(report: Report, _sandbox: Sandbox) -> str:  # noqa: ARG001 - it seeds the account
    return _sandbox.url


def of(detector: type[Detector[Any]], facts: Iterable[Known]) -> dict[str, str | None]:
    """The confidence of what *detector* ought to say about the kinds that it judges, by ARN."""
    return {
        fact.arn: fact.confidence
        for fact in facts
        if fact.detector == detector.name and Arn.parse(fact.arn).kind in detector.kinds
    }


def results(detector: type[Detector[Any]], report: Report) -> dict[str, Result]:
    return {result.target.arn: result for result in report.results if result.detector == detector.name}


def test_every_sweep_is_complete(report: Report) -> None:
    assert [sweep.detector for sweep in report.sweeps] == [detector.name for detector in DETECTORS]
    assert [sweep.error for sweep in report.sweeps if sweep.error is not None] == []
    rare = {world.DETECTOR for world in RARE}
    assert {sweep.detector for sweep in report.sweeps if not sweep.looked_at} == rare


@every_detector
def test_it_finds_exactly_the_waste(detector: type[Detector[Any]], report: Report) -> None:
    found = {
        arn: result.verdict.confidence.value
        for arn, result in results(detector, report).items()
        if isinstance(result.verdict, Finding)
    }

    assert found == of(detector, demo.WASTE)
    assert found


@every_detector
def test_it_keeps_what_only_looks_like_waste(detector: type[Detector[Any]], report: Report) -> None:
    judged = results(detector, report)

    assert not {
        arn: judged[arn].verdict.reason
        for arn in of(detector, demo.LOOKALIKES)
        if arn in judged and isinstance(judged[arn].verdict, Finding)
    }


@every_detector
def test_it_says_what_nobody_can_tell(detector: type[Detector[Any]], report: Report) -> None:
    unknown = {
        arn
        for arn, result in results(detector, report).items()
        if not isinstance(result.verdict, Finding) and result.verdict.unknown
    }

    assert unknown == of(detector, demo.UNKNOWN).keys()


def test_every_verdict_has_a_reason_and_every_action_begins_with_words(report: Report) -> None:
    assert [result.target.arn for result in report.results if not result.verdict.reason.strip()] == []
    actions = {short_action(proposed_action(result)) for result in report.findings}
    assert [action for action in actions if not action or re.search(r"=|--|\baws\b", action)] == []


OPENED_BY: dict[str, tuple[str, Callable[..., Any]]] = {
    r"#/endpoints/(.+)": ("sagemaker", lambda client, name: client.describe_endpoint(EndpointName=name)),
    r"#/endpointConfig/(.+)": (
        "sagemaker",
        lambda client, name: client.describe_endpoint_config(EndpointConfigName=name),
    ),
    r"#/models/(.+)": ("sagemaker", lambda client, name: client.describe_model(ModelName=name)),
    r"#/notebook-instances/(.+)": (
        "sagemaker",
        lambda client, name: client.describe_notebook_instance(NotebookInstanceName=name),
    ),
    r"#/jobs/(.+)": ("sagemaker", lambda client, name: client.describe_training_job(TrainingJobName=name)),
    r"#/processing-jobs/(.+)": (
        "sagemaker",
        lambda client, name: client.describe_processing_job(ProcessingJobName=name),
    ),
    r"#/studio/(.+)": ("sagemaker", lambda client, name: client.describe_domain(DomainId=name)),
    r"#/(?:jobs|processing-jobs)": ("sagemaker", lambda client, _: client.list_training_jobs()),
    r"#/clusterDetails/(.+)": ("emr", lambda client, name: client.describe_cluster(ClusterId=name)),
    r"/s3/buckets/([^?]+)": ("s3", lambda client, name: client.head_bucket(Bucket=name)),
    r"/s3/object/([^?]+)\?.*prefix=(.+)": (
        "s3",
        lambda client, name, key: client.head_object(Bucket=name, Key=key),
    ),
    r"/ecr/repositories/private/\d+/([^?]+)": (
        "ecr",
        lambda client, name: client.describe_repositories(repositoryNames=[name]),
    ),
    r"#logsV2:log-groups/log-group/(.+)": (
        "logs",
        lambda client, name: client.list_tags_log_group(
            logGroupName=unquote(unquote(name.replace("$", "%")))
        ),
    ),
}
"""What a page of the console shows, read from AWS: ClientError where AWS has no such thing."""


def open_page(link: str) -> None:
    """Read what the page at *link* shows."""
    session: Any = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
    ((service, read, parts),) = [
        (service, read, found.groups())
        for pattern, (service, read) in OPENED_BY.items()
        if (found := re.search(rf"{pattern}(\?region=[a-z0-9-]+)?$", link))
    ]
    try:
        read(session.client(service), *(unquote(part) for part in parts[:-1] or ("",)))
    except ClientError as error:
        pytest.fail(f"{link}: {error}")


def test_every_link_opens_a_page_of_something_that_exists(
    report: Report, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", sandbox_url)
    targets = [finding.target for finding in report.findings]
    links = {target.arn: console_link(target.arn, target.name, target.region) for target in targets}
    for link in filter(None, links.values()):
        open_page(link)

    without = {Arn.parse(arn).kind for arn, link in links.items() if not link}
    assert without == {"commitment", "usage-type", "inference-component", "model-package-group", "pipeline"}


@pytest.mark.parametrize(("detector", "monthly"), [("idle-endpoints", 9_200), ("idle-notebooks", 4_800)])
def test_the_waste_costs_what_it_does(detector: str, monthly: int, report: Report) -> None:
    found = [result for result in report.findings if result.detector == detector]

    assert float(Totals.of(found).monthly_usd) == pytest.approx(monthly, rel=0.01)


def test_the_job_that_started_it_all_has_its_price(report: Report) -> None:
    (job,) = (
        one for one in report.findings if (one.detector, one.target.arn) == ("hung-training-jobs", HUNG)
    )

    assert job.accrued_usd == 264 * 4 * Decimal("14.688")
    assert job.monthly_usd is None


# --- advice -----------------------------------------------------------------------------------------


@cases(
    "adviser, monthly",
    ("studio-without-idle-shutdown", {"meridian-research": None, "platform-dashboards": None}),
    (
        "oversized-endpoints",
        {"query-spelling": 149, "support-intent": 149, "embedding-service": 149, "image-embeddings-v2": 75},
    ),
    ("serverless-candidates", {"moderation-staging": 84}),
    ("unused-volumes", {"holiday-uplift": 7, "margin-guardrails": 7}),
    ("recomputed-datasets", {"catalog-features-*": 3098, "session-features-*": 1009}),
    ("cross-region-traffic", {"USE1-EUC1-AWS-Out-Bytes/GetObject": 2440}),
    ("unused-serving-resources", {"account-risk": None}),  # what an endpoint was moved away from is kept
)
def test_advice_is_about_these_and_saves_so_much(
    report: Report, adviser: str, monthly: dict[str, int | None]
) -> None:
    found = {
        one.target.name: one.verdict.cost
        for one in report.findings
        if one.detector == adviser and isinstance(one.verdict, Finding)
    }
    assert {
        name: cost and cost.monthly_usd and round(cost.monthly_usd) for name, cost in found.items()
    } == monthly


def test_the_account_is_charged_what_the_table_says(report: Report, charges: list[Any]) -> None:
    rows = case_study.recounted(charges)
    for number, column in enumerate(("before", "last")):
        counted = {name: float(spans[number]) for name, spans in rows.items()}
        said = {name: getattr(row, column) for name, row in case_study.TABLE.items()}
        wrong = {name: usd for name, usd in counted.items() if usd != pytest.approx(said[name], rel=0.05)}
        assert wrong == {}, column
        assert sum(counted.values()) == pytest.approx(sum(said.values()), rel=0.01), column
    saved = case_study.saved(charges, report_document(report))
    left = {name: float(rows[name][1] - sum(saved[name].values())) for name in rows}
    assert min(left.values()) > -0.01
    cured = {
        name
        for name, row in case_study.TABLE.items()
        if left[name] == pytest.approx(row.cured, rel=0.05, abs=0.01)
    }
    assert cured == case_study.TABLE.keys()
    assert sum(left.values()) == pytest.approx(31_000, rel=0.01)
    assert float(rows["the hung job"][1]) == pytest.approx(261 * 4 * 14.688, rel=0.0001)


def test_the_columns_of_the_case_studys_table_add_up() -> None:
    columns = [(row.before, row.last, row.cured) for row in case_study.TABLE.values()]
    assert [sum(column) for column in zip(*columns, strict=True)] == [57_000, 80_000, 31_000]
