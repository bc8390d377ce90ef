"""The Lambda edges with the real payloads of events/, over HTTP: what goes in, and all that comes out."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, NOW, REGION, seed_demo
from fakes import Shelf, thing, waste
from ml_janitor import handlers
from ml_janitor.config.events import SweepEvent
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Mode
from ml_janitor.core.results import Report, Sweep
from ml_janitor.detectors import DETECTORS
from ml_janitor.detectors.duplicate_artifacts import artifacts
from ml_janitor.engine.run import RunFailedError
from ml_janitor.ledger.idempotency import InProgressError
from ml_janitor.scheduled.invocation import Invocation
from ml_janitor.scheduled.sweep_run import SweepRunResult
from ml_janitor.slack.client import SenderClock
from ml_janitor_sandbox import demo
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.deployment import BUCKET, deploy
from ml_janitor_sandbox.slack import SlackControl
from sagemaker_requests import domain_request, notebook_request, rented, training_request
from samples import share
from standin import ROOT, WITH_SLACK, Context, event, idle_endpoints, items, reports
from tables import cases

HEAVY = ("boto3", "botocore", "pydantic", "jinja2", "slack_sdk", "aws_lambda_powertools")


pytestmark = pytest.mark.usefixtures("log")


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


# --- what goes in ----------------------------------------------------------------------------------


def test_a_scheduled_event_leaves_findings_a_report_a_ledger_and_a_message(
    deployed: SlackControl, box: Control, session: boto3.Session, log: StringIO
) -> None:
    seed_demo(box)
    deploy(box.url)

    answer = handlers.sweep(event("scheduled"), Context(aws_request_id="this run"))

    (swept,) = answer.pop("sweeps")
    waste = [one.name for one in demo.WASTE if one.detector == "idle-endpoints"]
    assert answer == {
        "time": "2026-10-06T03:00:00Z",
        "account": ACCOUNT,
        "report": f"s3://{BUCKET}/idle-endpoints/{ACCOUNT}/2026-10-06T03-00-00Z.html",
        "new": len(waste),
        "note": "",
    }
    assert (swept["detector"], swept["region"], swept["mode"]) == ("idle-endpoints", REGION, "dry-run")
    assert swept["found"] == len(waste)
    assert swept["looked_at"] == swept["found"] + swept["kept"]
    kept = items(session)
    assert sorted(item["name"] for item in kept["finding"]) == sorted(waste)
    assert all("announced" in item for item in kept["finding"])
    (page,) = (text for key, text in reports(session).items() if key.endswith(".html"))
    main = deployed.messages()[0]
    assert f"{len(waste)} new idle endpoints" in main["text"]
    assert [file["thread_ts"] for file in deployed.files()] == [main["ts"]]
    assert all(name in page and name in deployed.files()[0]["content"] for name in waste)
    (line,) = lines(log)
    assert (line["message"], line["request_id"]) == ("swept", "this run")


def test_an_event_for_some_regions_looks_at_those_only(
    deployed: SlackControl, tmp_path: Path, session: boto3.Session, box: Control
) -> None:
    (tmp_path / "janitor.toml").write_text(f'{WITH_SLACK}regions = ["eu-west-1", "us-east-1"]\n')
    idle_endpoints(session, box, "a")

    assert [one["region"] for one in handlers.sweep(event("scheduled"), Context())["sweeps"]] == [
        "eu-west-1",
        "us-east-1",
    ]
    assert [one["region"] for one in handlers.sweep(event("one-region"), Context())["sweeps"]] == [REGION]
    assert len(deployed.messages()) == 2


def test_an_event_acts_nowhere_else_than_the_deployment_does(
    deployed: SlackControl, tmp_path: Path, log: StringIO
) -> None:
    armed = f'[detectors.idle-endpoints]\nmode = "act"\nact_in = ["{ACCOUNT}"]\n'
    (tmp_path / "janitor.toml").write_text(f"{WITH_SLACK}{armed}")

    there, here = (
        handlers.sweep({"regions": [region]}, Context(request))
        for region, request in (("eu-west-1", "a"), (REGION, "b"))
    )

    says = "the deployment does not look at eu-west-1 by itself, so this was a dry run"
    assert (there["sweeps"][0]["mode"], there["note"]) == ("dry-run", says)
    assert (here["sweeps"][0]["mode"], here["note"]) == ("act", "")
    assert [line["note"] for line in lines(log)] == [says, ""]
    assert deployed.messages() == []


def test_an_event_for_one_resource_judges_it_and_leaves_a_report_only(
    deployed: SlackControl, box: Control, session: boto3.Session
) -> None:
    seed_demo(box)
    deploy(box.url)

    answer = handlers.sweep(event("one-resource"), Context())

    (swept,) = answer["sweeps"]
    assert (swept["looked_at"], swept["found"]) == (1, 1)
    assert answer["report"].startswith(f"s3://{BUCKET}/idle-endpoints/{ACCOUNT}/one/")
    assert set(items(session)) == {"idempotency"}
    assert deployed.messages() == []


@cases(
    "wrong, says",
    (event("malformed"), r"mode: expected 'dry-run'"),
    ({"time": "soon"}, "time: expected a time with its zone, such as"),
    ({"time": "2026-10-06T03:00:00"}, "time: expected a time with its zone"),
    ({"time": "2026-10-06T03:06:00Z"}, "time: 2026-10-06T03:06:00Z is yet to come"),
    ({"act": True}, "act: no member is called so; there are time, mode,"),
    ({"regions": ["everywhere"]}, r"regions\.0: expected a text of the form"),
    ({"regions": ["us-east-1"] * 41}, "regions: expected 40 values at most"),
    ({"resource": "fraud-scoring"}, "resource: 'fraud-scoring' is not an ARN"),
    ([], "event: expected an object"),
    ("{", "event: it is not JSON"),
    ({"detectors": ["spot-training"]}, "detectors: this is idle-endpoints"),
)
def test_a_malformed_event_is_refused_in_one_line_before_anything_is_asked(
    deployed: SlackControl, box: Control, wrong: Any, says: str
) -> None:
    assert deployed
    with pytest.raises(InvalidInputError, match=f"^invalid event: {says}") as caught:
        handlers.sweep(wrong, Context())

    assert "\n" not in str(caught.value)
    assert box.calls() == {}


# --- once ------------------------------------------------------------------------------------------


def test_an_event_that_is_delivered_twice_is_answered_from_memory(
    deployed: SlackControl, box: Control, session: boto3.Session
) -> None:
    idle_endpoints(session, box, "a")
    first = handlers.sweep(event("scheduled"), Context())
    left = (items(session), reports(session), deployed.messages())
    box.clear_calls()

    assert handlers.sweep(event("scheduled"), Context(aws_request_id="another")) == first
    assert box.calls() == {"dynamodb:PutItem": 1}
    assert (items(session), reports(session), deployed.messages()) == left
    (record,) = items(session)["idempotency"]
    assert record["pk"] == "idempotency#idle-endpoints"
    assert record["expires"] > record["in_progress_expires"] / 1000


def test_of_two_deliveries_at_once_one_works_and_the_other_fails_and_gets_the_answer_later(
    deployed: SlackControl, box: Control, session: boto3.Session
) -> None:
    idle_endpoints(session, box, "a")
    box.fault("sagemaker", "ListEndpoints", "latency", latency=1.5)

    with ThreadPoolExecutor(2) as both:
        running = [both.submit(handlers.sweep, event("scheduled"), Context()) for _ in range(2)]
    (failed,) = (one for one in [one.exception() for one in running] if one is not None)
    assert isinstance(failed, InProgressError)
    assert str(failed) == "another invocation of idle-endpoints is at work on the same event"
    answer = next(one.result() for one in running if one.exception() is None)
    assert handlers.sweep(event("scheduled"), Context()) == answer
    assert len(items(session)["finding"]) == 1
    assert len(deployed.messages()) == 2


@cases(
    "where",
    "ml_janitor.engine.run.read_candidates",
    "ml_janitor.report.html.Archive.keep",
    "ml_janitor.ledger.findings.Ledger.record",
    "ml_janitor.ledger.latest.LatestRecords.remember",
    "ml_janitor.report.telemetry.measure_acts",
    "ml_janitor.slack.client.SlackBot._look_up",
    "ml_janitor.slack.client.SlackBot._upload",
    "ml_janitor.ledger.limits.Leases.release",
)
def test_a_run_that_was_killed_is_done_by_its_retry_and_nothing_twice(
    deployed: SlackControl, box: Control, session: boto3.Session, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Lambda kills at the timeout, which nothing in the process sees; the event is then delivered again."""
    monkeypatch.setattr(handlers, "slack_time", lambda: SenderClock(clock=lambda: 0, sleep=lambda _: None))
    idle_endpoints(session, box, "a", "b")
    with pytest.MonkeyPatch.context() as killing:
        killing.setattr(where, killed)
        with pytest.raises(KeyboardInterrupt):
            handlers.sweep(event("scheduled"), Context(milliseconds=chain([0], repeat(900_000))))
    assert any(item["status"] == "INPROGRESS" for item in items(session)["idempotency"])

    answer = handlers.sweep(event("scheduled"), Context(aws_request_id="the second delivery"))

    assert (answer["new"], answer["sweeps"][0]["found"]) == (2, 2)
    kept = items(session)
    assert [item["first_seen"] for item in kept["finding"]] == ["2026-10-06T03:00:00Z"] * 2
    assert all("announced" in item for item in kept["finding"])
    assert (len(kept["sweep"]), len(reports(session)), "lease" in kept) == (1, 2, False)
    assert [one["text"] for one in deployed.messages() if one["thread_ts"] is None] == [
        deployed.messages()[0]["text"]
    ]


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


# --- what goes wrong -------------------------------------------------------------------------------


class Hurried(Context):
    """A context whose time for reading is over once the endpoints have been listed; two minutes are left."""

    def __init__(self, box: Control) -> None:
        super().__init__()
        self._box = box
        box.clear_calls()

    def get_remaining_time_in_millis(self) -> int:
        return 119_000 if "sagemaker:ListEndpoints" in self._box.calls() else 900_000


@pytest.fixture
def handed(deployed: SlackControl, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that functions were handed."""
    del deployed
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(Invocation, "hand_over", lambda _, __, event: found.append(event))
    return found


def test_a_run_short_of_time_goes_on_in_a_next_part(
    box: Control, session: boto3.Session, handed: list[dict[str, Any]]
) -> None:
    """What it read is unknown and acted on by nobody; the twelfth part is an error like any other."""
    idle_endpoints(session, box, "a", "b")

    answer = handlers.sweep(event("scheduled"), Hurried(box))

    (kept,) = (json.loads(text) for key, text in reports(session).items() if key.endswith(".json"))
    assert kept["sweeps"][0]["looked_at"] == 2
    assert {one["unknown"] for one in kept["results"]} == {True}
    assert "ran out of time" in items(session)["sweep"][0]["error"]
    assert "cloudwatch:GetMetricData" not in box.calls()
    part = {"regions": [REGION], "part": 2}
    assert answer["rest"] == ["idle-endpoints"]
    assert {name: answer[name] for name in part} == part
    assert handlers.sweep(event("scheduled"), Context()) == answer, "a retry leaves it to the next part"
    (following,) = handed
    asked = event("scheduled") | part | {"detectors": ["idle-endpoints"]}
    assert following == {**asked, "started": following["started"]}
    with pytest.raises(RunFailedError, match="idle-endpoints in us-east-1 is not complete: it ran out of"):
        handlers.sweep({**following, "part": 12}, Hurried(box))
    done = handlers.sweep(following, Context())
    assert ("rest" in done, done["sweeps"][0]["found"], len(handed)) == (False, 2, 1)


class Late(Context):
    """A context whose time for reading is over as soon as somebody says so."""

    left = 900_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left


def test_a_listing_that_ran_out_of_time_goes_on_in_the_next_part(
    handed: list[dict[str, Any]],
    box: Control,
    session: boto3.Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The half that was read is not called clean, and is not read again."""
    monkeypatch.setenv("JANITOR_DETECTOR", "duplicate-artifacts")
    section = '[detectors.duplicate-artifacts]\nbuckets = ["first", "second"]\n'
    (tmp_path / "janitor.toml").write_text(WITH_SLACK + section)
    s3 = session.client("s3")
    for name, key in (("first", "a"), ("first", "b"), ("second", "c"), ("second", "d")):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key=f"{key}.tar.gz", Body=b"model" * 2**18)
    monkeypatch.setattr("ml_janitor.aws.s3.PAGES_AT_ONCE", 1)
    late, put = Late(), artifacts.BucketIndex.put

    def last(*given: Any) -> Any:
        late.left = 60_000
        return put(*given)

    monkeypatch.setattr(artifacts.BucketIndex, "put", last)
    handlers.sweep(event("scheduled"), late)
    assert "second could not be read in time: S3 listed 0 objects" in items(session)["sweep"][0]["error"]
    assert items(session)["sweep"][0]["looked_at"] == 0
    monkeypatch.setattr(artifacts.BucketIndex, "put", put)
    box.clear_calls()

    answer = handlers.sweep(handed[0], Context())

    assert box.calls()["s3:ListObjectsV2"] == 1
    assert answer["sweeps"][0]["looked_at"] == 4
    assert answer["sweeps"][0]["unknown"] == 0
    (file,) = items(session)["file"]
    assert (file["pk"], file["key"]) == (f"file#duplicate-artifacts#{ACCOUNT}/{REGION}", "")


# --- what never comes out --------------------------------------------------------------------------

SECRET_WORD = "hunter2-never-to-be-seen"


@pytest.fixture(params=share([one.name for one in DETECTORS], 5))
def detector(request: pytest.FixtureRequest, deployed: SlackControl, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every function in turn."""
    assert deployed
    monkeypatch.setenv("JANITOR_DETECTOR", request.param)
    return str(request.param)


HOLD_SECRETS = {"endpoint", "endpoint-config", "model", "training-job"}
"""Kinds that have such values, and whose detectors therefore look at something here."""


def test_values_of_hyperparameters_and_environments_come_out_nowhere(
    detector: str, box: Control, session: boto3.Session, log: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with_secrets(session, box)

    answer = handlers.sweep(event("scheduled"), Context())

    (kinds,) = (one.kinds for one in DETECTORS if one.name == detector)
    assert answer["sweeps"][0]["looked_at"] > 0 or HOLD_SECRETS.isdisjoint(kinds)
    slack = SlackControl(box.url)
    left = [answer, items(session), reports(session), slack.messages(), slack.files()]
    written = "".join([log.getvalue(), *capsys.readouterr(), *(repr(one) for one in left)])
    assert "swept" in written
    assert SECRET_WORD not in written


def with_secrets(session: boto3.Session, box: Control) -> None:
    """A silent job, one that completed, a model and an endpoint, with secrets in plain text; more."""
    sagemaker: Any = session.client("sagemaker")
    idle_endpoints(session, box, "a")
    with box.at(NOW - timedelta(days=10)):
        role = f"arn:aws:iam::{ACCOUNT}:role/ml"
        environment = {"API_TOKEN": SECRET_WORD}
        for job in ("llama-ft", "llama-ft-0"):
            secret: Any = {"HyperParameters": {"wandb_api_key": SECRET_WORD}, "Environment": environment}
            sagemaker.create_training_job(
                **training_request(job, rented("ml.p4d.24xlarge"), seconds=28 * 24 * 3600, **secret)
            )
        ended: dict[str, Any] = {"TrainingJobStatus": "Completed", "TrainingEndTime": NOW - timedelta(days=9)}
        box.patch("sagemaker", ["training_jobs", "llama-ft-0"], **ended)
        container = {"Image": "image", "ModelDataUrl": "s3://models/one.pt", "Environment": environment}
        sagemaker.create_model(ModelName="with-secrets", ExecutionRoleArn=role, PrimaryContainer=container)
        sagemaker.create_domain(**domain_request("research"))
        sagemaker.create_notebook_instance(**notebook_request("eda", "ml.t3.medium"))
        sagemaker.stop_notebook_instance(NotebookInstanceName="eda")
        s3 = session.client("s3")
        s3.create_bucket(Bucket="models")
        for name in ("one", "two"):
            s3.put_object(Bucket="models", Key=f"{name}.pt", Body=b"weights" * 200_000)
        started = NOW - timedelta(days=10)
        box.logs("/aws/sagemaker/TrainingJobs", "llama-ft/algo-1", [(started, f"epoch 1 {SECRET_WORD}")])


def test_the_answer_is_small_however_much_was_found() -> None:
    results = tuple(Shelf(things=tuple(thing(f"thing-{n}", waste()) for n in range(2000))).things)
    sweep = Sweep(detector="shelf", account=ACCOUNT, region=REGION, mode=Mode.DRY_RUN, results=results)  # type: ignore[arg-type]
    report = Report(time=NOW, account=ACCOUNT, sweeps=(sweep,) * 40)

    with pytest.MonkeyPatch.context() as counted:
        counted.setattr(Sweep, "findings", property(lambda self: self.results))
        counted.setattr(Sweep, "unknown", 0)
        answer = handlers.sweep_answer(
            SweepRunResult(report=report, where="s3://bucket/report.html", new=2000, note="")
        )

    assert len(json.dumps(answer)) < 10_000


# --- cold starts -----------------------------------------------------------------------------------


def test_importing_the_handlers_imports_nothing_heavy() -> None:
    script = (
        "import sys, ml_janitor.handlers; print(*sorted(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "functions")},
    )
    assert not set(HEAVY) & set(done.stdout.split())


def test_advisers_keep_a_record_each_and_a_retry_runs_those_that_have_none(
    deployed: SlackControl, session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    del deployed
    monkeypatch.delenv("JANITOR_DETECTOR")
    asked = {"time": "2026-10-06T03:00:00Z", "detectors": ["spot-training", "generous-warm-pools"]}
    with monkeypatch.context() as patch:
        patch.setattr("ml_janitor.detectors.spot_training.SpotTraining.find", lambda *_: 1 / 0)
        with pytest.raises(RunFailedError, match="spot-training: "):
            handlers.advisers(asked, Context())
    again = handlers.advisers(asked, Context(aws_request_id="the second delivery"))

    assert [*again["answers"]] == asked["detectors"]
    assert {item["pk"] for item in items(session)["sweep"]} == {
        f"sweep#{name}#{ACCOUNT}#{REGION}" for name in asked["detectors"]
    }
    with pytest.raises(InvalidInputError, match="idle-endpoints has a function of its own"):
        handlers.advisers({"detectors": ["idle-endpoints"]}, Context())
    with pytest.raises(InvalidInputError, match="detectors: it names none"):
        handlers.advisers({}, Context())

    monkeypatch.setenv(
        "JANITOR_DETECTOR", "spot-training"
    )  # its function of before an upgrade, on its schedule
    monkeypatch.setattr("ml_janitor.detectors.spot_training.SpotTraining.find", lambda *_: 1 / 0)
    assert handlers.sweep({"time": asked["time"]}, Context()) == again["answers"]["spot-training"]
    identities = {SweepEvent.model_validate(event).identity("") for event in (asked, {"time": asked["time"]})}
    assert identities == {'{"time":"2026-10-06T03:00:00Z"}'}, "what an earlier version calls this event"


def test_what_had_no_time_is_the_next_part_of_the_same_run(handed: list[dict[str, Any]]) -> None:
    """A retry of the first part leaves it to the next one; the twelfth part is the last."""
    asked = {"time": "2026-10-06T03:00:00Z", "detectors": ["spot-training", "generous-warm-pools"]}
    for _ in range(2):
        answer = handlers.advisers(asked, Context(milliseconds=200_000))
    assert (answer["answers"], answer["rest"], answer["part"]) == ({}, asked["detectors"], 2)
    following = handed[0]
    assert following == {**asked, "part": 2, "started": following["started"]}
    again = handlers.advisers(asked, Context())
    assert again["answers"] == {name: {"part": 2} for name in asked["detectors"]}
    assert handlers.advisers(following, Context())["rest"] == []
    with pytest.raises(RunFailedError, match="did not begin within 12 parts"):
        handlers.advisers({**following, "part": 12}, Context(milliseconds=200_000))
