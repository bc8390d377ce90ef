"""Every function with every event over HTTP under the template's roles: nothing missing, nothing idle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import rarities
from conftest import ACCOUNT, REGION, seed_demo
from declared import Declared, listed, statements, without
from deployed import Deployed, Function
from hosted import LAMBDA, SCHEDULER, Host
from lambdas import EVENTS, WITH_SLACK, event
from ml_janitor.aws.arns import Arn
from ml_janitor.config.events import MalformedEventError
from ml_janitor.config.settings import FILE, Settings
from ml_janitor.core.model import Confidence, Finding, Target
from ml_janitor.core.results import Outcome, Result
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.failures import RunFailedError
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.findings import Ledger
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.deployment import SECRET
from ml_janitor_sandbox.iam import IamControl
from ml_janitor_sandbox.server import Sandbox
from ml_janitor_sandbox.slack import TOKEN, SlackControl
from recorder import IN_EVERY_RUN, Recording, Step, check, exactly, missed, mutants, nothing, record
from samples import share
from signing import OwnMacs
from synthesis import synthesise

DIGEST, BILL = "digest", "bill"
OF_ALL = {DIGEST, BILL}
"""The functions that are for all sweeps, and take a time only."""
FUNCTIONS = [*(detector.name for detector in DETECTORS), DIGEST, BILL]
every_function = pytest.mark.parametrize("name", FUNCTIONS)

WITH_BILL = f"""{WITH_SLACK}
digest_schedule = "cron(0 20 * * ? *)"
[bill]
enabled = true
weekly_table = "Tue"
"""
"""With a bill that is posted by itself, for no digest is due, on the day on which the tags are checked."""

FILES = sorted(path.stem for path in EVENTS.glob("*.json"))
OF_OTHERS = {"interact", "pressed", "undo"}
"""Events of functions that have no schedule, which make no sense to these."""

LIKE_SCHEDULED = {"manual-dry-run", "one-region", "stale"}
"""Events that have everything read once more; one detector's function stands for the handler of them all."""

AT = "2026-10-06T03:00:00Z"
ABROAD = "eu-west-1"


SECRET_READ = "secretsmanager:GetSecretValue"
"""What a function needs only to tell Slack something."""

OF_FINDINGS = {"sagemaker:ListTags", "tag:GetResources"}
"""What is missed only of what would be found: whatever is kept anyway is kept whatever its tags say."""


@pytest.fixture(scope="module")
def account(_sandbox: Sandbox) -> Iterator[str]:
    """The demo account and its rarities, made once: nothing here changes what is judged."""
    Control(_sandbox.url).reset()
    seed_demo(Control(_sandbox.url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", _sandbox.url)
        session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
        rarities.seed(session)
        rarities.children(session, Control(_sandbox.url))
        rarities.warm_pools(session, Control(_sandbox.url))
        rarities.monitoring(session, Control(_sandbox.url), "churn-xgb-blue")
        rarities.traffic(Control(_sandbox.url))
        rarities.repeats(session, Control(_sandbox.url))
        rarities.savings_plan(Control(_sandbox.url))
        rarities.scaling(session, Control(_sandbox.url), "churn-xgb-blue", "AllTraffic")
        abroad = boto3.Session("AKIASANDBOX", "sandbox", region_name=ABROAD).client("sagemaker")
        abroad.create_model(ModelName="abroad", ExecutionRoleArn=rarities.ROLE)
    yield _sandbox.url
    Control(_sandbox.url).reset()


@pytest.fixture(scope="module")
def host(account: str, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The default deployment with Slack, and what it owns."""
    host = hosted(account, tmp_path_factory.mktemp("task"), WITH_BILL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", account)
        session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
        host.deployed.create(session, **{SECRET: TOKEN})
    return host


def hosted(url: str, files: Path, settings: str) -> Host:
    """A deployment with *settings*, which its functions find beside their code."""
    (files / FILE).write_text(settings)
    read = Settings.load(files=[files / FILE])
    deployed = Deployed(synthesise(files / "cdk.out", read), ACCOUNT, REGION)
    return Host(Declared(deployed, read), url, files)


def files_of(name: str) -> list[str]:
    """The files of events/ that the function of that name is invoked with; first what shows it everything."""
    all_of_them = name in {IN_EVERY_RUN, *OF_ALL}
    files = [file for file in FILES if all_of_them or file not in LIKE_SCHEDULED]
    return sorted(files, key=lambda file: file != "scheduled")


def every_event(name: str, host: Host) -> Iterator[Step]:
    """
    Each file of events/, then one for each kind of resource that was looked at, each as if it came first.

    Last, where Slack refuses the message: an event that failed after it was begun is forgotten. The bill
    then goes on with the one that was kept before.
    """
    function, found = host.function(name), dict[tuple[str, ...], str]()

    def step(asked: dict[str, Any], arranged: Callable[[Host], None] = nothing) -> Step:
        def event_(host: Host) -> dict[str, Any]:
            host.forget(function)
            return asked

        return Step(function=name, event=event_, arranged=arranged)

    for file in files_of(name):
        yield step(event(file))
        found = one_of_each(host, function) | found
    for arn in found.values():
        yield step({"time": AT, "resource": arn})
    if name not in OF_ALL:  # an event that fails is forgotten
        yield step({"time": AT, "resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:janitor"})
    if found and any(one.name == name and one.cleanup for one in DETECTORS):
        yield Step(function=name, event=partial(made_anew, name, next(iter(found.values()))))
    if name == BILL:
        yield Step(function=name, event=lambda _: {"time": "2026-10-06T02:59:59Z"})
    if name == DIGEST:  # on the day of the weekly advice
        yield Step(function=name, event=lambda _: {"time": "2026-10-05T03:00:02Z"})
    if name in OF_ALL:
        refused = Step(
            function=name,
            event=lambda _: {"time": "2026-10-06T03:00:01Z"},
            arranged=lambda host: SlackControl(host.url).fault("error", times=0),
        )
        yield refused
        SlackControl(host.url).clear_faults()


def made_anew(name: str, arn: str, host: Host) -> dict[str, Any]:
    """What it did when it was armed saves nothing any more: the resource *arn* is there again."""
    host.forget(host.function(name))
    parts, earlier = Arn.parse(arn), host.now - timedelta(days=40)
    target = Target(
        arn=arn, name=parts.name, kind=parts.kind, account=ACCOUNT, region=REGION, created=earlier
    )
    verdict = Finding(reason="idle", confidence=Confidence.PROVEN, action="delete it", evidence=())
    result = Result(detector=name, target=target, verdict=verdict, outcome=Outcome.WAITING)
    done = Actions(host.table, OwnMacs())
    done.acted(done.begin(result, {}, warned=earlier, now=earlier), earlier)
    return event("scheduled")


def one_of_each(host: Host, function: Function) -> dict[tuple[str, ...], str]:
    """
    An ARN of each kind in the function's reports.

    Apps of different types belong to different things, and endpoints may have components, with tags.
    """
    found: dict[tuple[str, ...], str] = {}
    for text in host.reports(function):
        for result in json.loads(text).get("results", ()):
            arn = Arn.parse(result["arn"])
            parts = result["arn"].split("/")
            shared = any("inference component" in one["signal"] for one in result["evidence"])
            kind = (arn.kind, *(parts[3:4] if arn.kind == "app" else ()), "shared" if shared else "")
            found.setdefault(kind, result["arn"])
    return found


def failure(name: str, file: str) -> type[Exception] | None:
    """How the function of that name ends with a file of events/."""
    asked = event(file)
    if file == "malformed" or file in OF_OTHERS or (name in OF_ALL and set(asked) - {"time"}):
        return MalformedEventError
    detectors = [detector for detector in DETECTORS if detector.name == name]
    if "resource" in asked and not any(one.judges(Arn.parse(asked["resource"])) for one in detectors):
        return RunFailedError
    return None


def last_sweep(host: Host) -> None:
    """Something that the digest can sum up, of which something is due."""
    host.enforce()
    host.invoke(host.function(DETECTORS[0].name), event("scheduled"))
    ledger = Ledger(host.table)
    entry = next(iter(ledger.entries(DETECTORS[0].name, ACCOUNT, REGION)))
    ledger.warned(entry, now=host.now, due=host.now)  # which is due, unless somebody keeps it


def bill_to_say(host: Host) -> None:
    """A bill for the digest to say, with its picture: Slack did not take its own message."""
    host.enforce()
    SlackControl(host.url).fault("error", times=0)
    host.invoke(host.function(BILL), {"time": "2026-10-06T02:59:59Z"})
    SlackControl(host.url).clear_faults()


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    """What was recorded before."""
    return {}


@pytest.mark.parametrize("name", share(FUNCTIONS, 5, always={IN_EVERY_RUN, DIGEST}))
def test_it_asks_for_all_that_is_declared_and_for_nothing_else(
    host: Host, recordings: dict[str, Recording], name: str
) -> None:
    """Each permission is used on a resource of its own, which no other covers as well."""
    last_sweep(host)
    if name == DIGEST:
        bill_to_say(host)

    recording = recordings[name] = record(host, every_event(name, host))

    for file, (_, ran) in zip(files_of(name), recording, strict=False):
        assert type(ran.error) is (failure(name, file) or type(None)), file
    assert [ran.denied for _, ran in recording if ran.denied] == []
    needs = host.declared.of_function(host.function(name))
    silent = {need for need in needs if not told_of(name, recording) and need.action == SECRET_READ}
    assert exactly(host, name, recording) == needs - silent


@pytest.mark.parametrize("name", mutants(FUNCTIONS))
def test_each_statement_of_its_role_is_missed_and_the_refusal_is_told(
    host: Host, recordings: dict[str, Recording], name: str
) -> None:
    def set_up() -> None:
        last_sweep(host)
        if name == DIGEST:
            bill_to_say(host)

    if (recording := recordings.get(name)) is None:
        set_up()
        recording = record(host, every_event(name, host))
    set_up()

    silent = set() if told_of(name, recording) else {SECRET_READ, *OF_FINDINGS}

    def every(_: str, statement: Mapping[str, Any]) -> bool:
        return not silent >= {*listed(statement["Action"])}

    check(host, missed(host, recording, every), every, of=[name])


def told_of(name: str, recording: Recording) -> bool:
    """Whether a function had anything to tell Slack: a sweep that found nothing in the demo has not."""
    answers = [ran.answer or {} for _, ran in recording]
    return name in OF_ALL or any(sweep["found"] for one in answers for sweep in one.get("sweeps", ()))


@every_function
def test_its_schedule_may_invoke_it_and_leave_word_and_misses_either(host: Host, name: str) -> None:
    function, roles = host.function(name), host.deployed.roles()
    assert function.schedule is not None
    role = function.schedule.role
    host.enforce()

    ran = host.deliver(function, event("scheduled"))

    assert ran.allowed == {(need.action, need.resource) for need in host.declared.of_schedule(function)}
    assert not ran.denied
    for statement in statements(roles[role]):
        host.enforce(roles | {role: without(roles[role], statement)})
        denied = host.deliver(function, event("scheduled")).denied
        assert denied == {(statement["Action"], statement["Resource"])}


def test_every_region_of_the_settings_is_granted(host: Host, account: str, tmp_path: Path) -> None:
    """Here and abroad, as one deployment sweeps them; *host* has made what it owns."""
    assert host
    both = hosted(account, tmp_path, f'{WITH_SLACK}regions = ["{REGION}", "{ABROAD}"]\n')
    both.enforce()
    function = both.function("untagged-resources")
    both.forget(function)

    ran = both.invoke(function, event("scheduled"))

    assert (ran.error, ran.denied) == (None, frozenset())
    assert ("sagemaker:ListTags", f"arn:aws:sagemaker:{ABROAD}:{ACCOUNT}:model/abroad") in ran.allowed


def test_a_function_works_under_what_an_organization_demands(
    host: Host, account: str, tmp_path: Path
) -> None:
    """A path on its role, and a key for its queue. What the boundary and a VPC add is not judged here."""
    assert host
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
    demanded = f"""permissions_boundary = "arn:aws:iam::{ACCOUNT}:policy/boundary"
role_path = "/platform/ml/"
kms_key = "{key}"
"""
    theirs = hosted(account, tmp_path, f"{WITH_SLACK}{demanded}")
    theirs.enforce()
    function = theirs.function("idle-notebooks")
    theirs.forget(function)

    ran = theirs.invoke(function, event("scheduled"))

    assert ":role/platform/ml/" in function.role
    assert (ran.error, ran.denied) == (None, frozenset())
    assert "sagemaker:ListNotebookInstances" in {action for action, _ in ran.allowed}


def test_a_region_that_is_not_in_the_settings_is_refused(host: Host) -> None:
    host.enforce()
    function = host.function("untagged-resources")
    host.forget(function)

    ran = host.invoke(function, {"time": AT, "regions": [ABROAD]})

    assert ("sagemaker:ListTags", f"arn:aws:sagemaker:{ABROAD}:{ACCOUNT}:model/abroad") in ran.denied


def test_functions_trust_lambda_and_schedules_the_scheduler(host: Host, account: str) -> None:
    host.enforce()
    services = {function.role: LAMBDA for function in host.deployed.functions()}
    services |= {one.schedule.role: SCHEDULER for one in host.deployed.functions() if one.schedule}
    iam = IamControl(account)

    assert set(services) == set(host.deployed.roles())
    for role, service in services.items():
        assert iam.credentials(role, service=service)
        for other in {LAMBDA, SCHEDULER, "ec2.amazonaws.com"} - {service}:
            with pytest.raises(SandboxError, match="does not trust"):
                iam.credentials(role, service=other)


@every_function
def test_its_role_changes_nothing(host: Host, account: str, name: str) -> None:
    """What actions there are for findings, and what else one could do with a bucket."""
    host.enforce()
    session = host.session(host.function(name).role, LAMBDA)
    sagemaker = session.client("sagemaker", endpoint_url=account)
    s3 = session.client("s3", endpoint_url=account)
    model = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/m"
    calls: tuple[Callable[[], object], ...] = (
        lambda: sagemaker.delete_endpoint(EndpointName="e"),
        lambda: sagemaker.stop_notebook_instance(NotebookInstanceName="n"),
        lambda: sagemaker.stop_training_job(TrainingJobName="t"),
        lambda: sagemaker.add_tags(ResourceArn=model, Tags=[{"Key": "k", "Value": "v"}]),
        lambda: s3.delete_object(Bucket="meridian-ml-models", Key="k"),
        lambda: s3.put_object(Bucket="meridian-ml-models", Key="k", Body=b""),
    )
    for call in calls:
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
