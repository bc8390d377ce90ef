"""AWS as detectors see it: no write in a dry run, no call without time, turns, regions and shared answers."""

import gc
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from threading import Barrier, Event, Lock
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EndpointConnectionError

from conftest import ACCOUNT, REGION
from ml_janitor.aws import pace
from ml_janitor.aws.calls import LIFECYCLE_TEXT, READ_THREADS, OutOfTimeError, make_client
from ml_janitor.aws.client import (
    DEFAULT_ATTEMPTS,
    GET_CALLER_IDENTITY,
    READ_OPERATIONS,
    Aws,
    Caller,
    FileChangedError,
    FolderScratch,
    ReaderThreads,
    open_member_session,
    open_regions,
    read_caller,
)
from ml_janitor.aws.pace import Pace, SharedAnswers, is_reused
from ml_janitor.slack.ingress import hand_over
from narrowing import not_none, of_type
from scripted import DENIED, Script, Torn
from tables import cases

LIST = "sagemaker:ListApps"
APPS = {"Apps": list[Any]()}


class Wire:
    """What comes over the network: *answers* in turn, the last one for ever; *sent* are the requests."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers) or [(200, APPS)]
        self.sent = list[Any]()

    def session(self) -> boto3.Session:
        session = boto3.Session(region_name=REGION)
        events: Any = session.events
        events.register("before-send", self._answer)
        return session

    def _answer(self, request: Any, **_: object) -> Any:
        self.sent.append(request)
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()

        class Raw(BytesIO):
            def stream(self, **_: object) -> Iterator[bytes]:
                yield self.read()

        return AWSResponse(request.url, status, HTTPHeaders(), cast("Any", Raw(raw)))


def reader(session: boto3.Session, **more: Any) -> Aws:
    given: dict[str, Any] = {"prices": None, "pool": None, "attempts": 1} | more
    return Aws(session, region=REGION, account=ACCOUNT, **given)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))


@cases(
    "operation, reads",
    *(
        (name, True)
        for name in ("DescribeApp", "GetObject", "HeadBucket", "ListTags", "LookupEvents", "Search")
    ),
    *((name, True) for name in ("BatchGetImage", "BatchDescribeModelPackage", "StartQueryExecution")),
    *((name, False) for name in ("DeleteApp", "BatchDeleteImage", "PutObject", "StartQuery", "AssumeRole")),
    *((name, False) for name in ("Getaway", "Listen", "StopTrainingJob", "AddTags", "StartQueryExecutions")),
)
def test_only_reads_leave_a_dry_run(operation: str, reads: bool) -> None:  # noqa: FBT001 - expected value
    assert (READ_OPERATIONS.match(operation) is not None) is reads


def test_a_dry_run_refuses_what_changes_something_before_it_is_sent() -> None:
    script = Script({"sagemaker:DeleteModel": {}, LIST: APPS})
    aws = script.aws()

    with pytest.raises(PermissionError, match="DeleteModel changes something, and this run only reads"):
        aws.sagemaker.delete_model(ModelName="churn")
    assert aws.sagemaker.list_apps()["Apps"] == []
    assert (script.asked("sagemaker:DeleteModel"), aws.may_write) == ([], False)

    armed = aws.armed()
    armed.sagemaker.delete_model(ModelName="churn")
    assert (len(script.asked("sagemaker:DeleteModel")), armed.may_write) == (1, True)
    assert (armed.region, armed.account, aws.aided, armed.aided) == (REGION, ACCOUNT, True, False)


def test_without_time_nothing_is_asked_and_that_is_known() -> None:
    time = [True]
    aws = Script({LIST: APPS}).aws(has_time=lambda: time[0])
    aws.sagemaker.list_apps()
    assert (aws.has_time, aws.ran_out, aws.out_of_time(ValueError())) == (True, False, False)

    time[0] = False
    for again in (aws, aws.armed(), aws.at("eu-west-1")):
        with pytest.raises(OutOfTimeError):
            again.sagemaker.list_apps()
        assert (again.has_time, again.ran_out, again.out_of_time(ValueError())) == (False, True, True)
    assert reader(boto3.Session(region_name=REGION)).out_of_time(OutOfTimeError())


def test_no_retry_is_sent_once_time_is_over() -> None:
    time = [True]
    wire = Wire((500, {}))

    def has_time() -> bool:
        return len(wire.sent) < 2 and time[0]

    aws = reader(wire.session(), attempts=5, has_time=has_time)

    with pytest.raises(OutOfTimeError):
        aws.sagemaker.list_apps()
    assert (len(wire.sent), aws.ran_out) == (2, True)


def test_a_call_is_tried_so_often() -> None:
    wire = Wire((500, {}))

    with pytest.raises(ClientError):
        reader(wire.session(), attempts=3).sagemaker.list_apps()

    assert len(wire.sent) == 3
    assert b"ml-janitor" in wire.sent[0].headers["User-Agent"]


def test_there_is_one_client_for_a_service_and_region() -> None:
    aws = Script({}).aws("eu-west-1")

    assert aws.sagemaker is aws.client("sagemaker") is aws.client("sagemaker", "eu-west-1")
    assert aws.client("s3", "us-west-2") is not aws.s3
    regions = [
        client.meta.region_name for client in (aws.sagemaker, aws.client("s3", "us-west-2"), aws.pricing)
    ]
    assert regions == ["eu-west-1", "us-west-2", "us-east-1"]
    config = aws.client("s3").meta.config
    assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (5, 30, 32)
    assert config.retries["mode"] == "standard"


def test_another_region_has_clients_and_a_memory_of_its_own() -> None:
    scratch, shared = FolderScratch(), SharedAnswers()
    aws = Script({}).aws(scratch=scratch, shared=shared)
    aws.lasting["key"] = 1

    there = aws.at("eu-west-1")

    assert (aws.at(REGION) is aws, there.region, there.account) == (True, "eu-west-1", ACCOUNT)
    assert (there.lasting, there.scratch, there.prices) == ({}, scratch, aws.prices)
    assert (there.shares, aws.armed().shares, there.attempts) == (True, False, 1)


def test_arns_are_of_the_partition_account_and_region() -> None:
    aws = Script({}).aws("cn-north-1")

    assert aws.partition == "aws-cn"
    assert (
        aws.arn("sagemaker", "endpoint/churn") == f"arn:aws-cn:sagemaker:cn-north-1:{ACCOUNT}:endpoint/churn"
    )


def test_items_are_read_side_by_side_in_their_order_and_one_alone_at_once() -> None:
    class Backwards:
        asked = 0

        def map[I, O](self, read: Callable[[I], O], items: Sequence[I]) -> Iterator[O]:
            self.asked += 1
            return iter([read(item) for item in reversed(items)][::-1])

    pool = Backwards()
    aws = Script({}).aws(pool=pool)

    assert [aws.map(str, items) for items in ([], [1], [1, 2])] == [[], ["1"], ["1", "2"]]
    assert pool.asked == 1


@cases("shared, times", (SharedAnswers(), 1), (None, 2), (SharedAnswers(frozenset({"ce"})), 2))
def test_only_a_run_that_shares_everything_keeps_reads(shared: SharedAnswers | None, times: int) -> None:
    aws, read = Script({}).aws(shared=shared), list[int]()

    def once() -> int:
        read.append(1)
        return 7

    assert [aws.once("key", once), aws.once("key", once)] == [7, 7]
    assert (len(read), aws.shares, aws.unshared() is aws) == (times, times == 1, times == 2)
    assert (aws.at("eu-west-1").once("key", once), len(read)) == (7, times + 1)


def test_a_page_has_the_size_that_is_asked_for_and_a_listing_its_entries() -> None:
    app = {"AppName": "a"}
    script = Script({LIST: [{"Apps": [app]}, {"Apps": [app]}, DENIED]})
    found = script.aws().listing(LIST, "Apps", lambda entry: str(entry["AppName"]), 7, DomainIdEquals="d-1")

    assert (found.items, script.asked(LIST)[0]) == (("a", "a"), {"DomainIdEquals": "d-1", "MaxResults": 7})
    assert found.error == f"{LIST} broke off after 2: ListApps: AccessDeniedException: denied"
    plain = Script({LIST: APPS})
    list(plain.aws().pages(LIST))
    assert plain.asked(LIST) == [{}]
    cut = Script({LIST: Torn({})}).aws().listing(LIST, "Apps", str)
    assert cut.error == f"{LIST} broke off after 0: the answer was cut off"


# --- turns --------------------------------------------------------------------------------------


class Turns:
    """A pace that notes what waited for its turn, and how it was answered."""

    def __init__(self) -> None:
        self.waited, self.answers = list[tuple[str, str]](), list[tuple[str, str, bool]]()

    def wait(self, region: str, action: str, has_time: Callable[[], bool]) -> None:
        assert has_time()
        self.waited.append((region, action))

    def answered(self, region: str, action: str, *, throttled: bool) -> None:
        self.answers.append((region, action, throttled))


@cases(
    "service, call, action",
    ("sagemaker", "list_apps", "sagemaker:ListApps"),
    ("resourcegroupstaggingapi", "get_resources", "tag:GetResources"),
    ("emr", "list_clusters", "elasticmapreduce:ListClusters"),
)
def test_each_try_waits_its_turn_and_tells_how_it_ended(service: Any, call: str, action: str) -> None:
    turns, throttled = Turns(), {"__type": "ThrottlingException"}
    wire = Wire((400, throttled), (200, {}))
    getattr(reader(wire.session(), attempts=2, pace=cast("Pace", turns)).client(service), call)()

    assert turns.waited == [(REGION, action)] * 2
    assert turns.answers == [(REGION, action, True), (REGION, action, False)]
    reader(wire.session()).sagemaker.list_apps()  # without a pace
    assert len(turns.waited) == 2


def test_a_role_that_sts_throttles_is_taken_on_later() -> None:
    """No child of an organization's run calls a refusal of its rate a refusal of the role."""
    throttled = b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"
    keys = "<AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey><SessionToken>c</SessionToken>"
    whose = f"<AssumedRoleUser><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/x/y</Arn></AssumedRoleUser>"
    taken = f"<Credentials>{keys}</Credentials>{whose}".encode()
    answer = b"<AssumeRoleResponse><AssumeRoleResult>%b</AssumeRoleResult></AssumeRoleResponse>" % taken
    wire = Wire(*[(400, throttled)] * (DEFAULT_ATTEMPTS - 1), (200, answer))
    sts = make_client(wire.session(), "sts", REGION, DEFAULT_ATTEMPTS)

    theirs = open_member_session(sts, wire.session(), f"arn:aws:iam::{ACCOUNT}:role/x", "ml-janitor-7f3a")

    assert not_none(theirs.get_credentials()).access_key == "a"
    assert len(wire.sent) == DEFAULT_ATTEMPTS


# --- shared answers -----------------------------------------------------------------------------


def test_what_was_asked_once_is_not_sent_again() -> None:
    wire = Wire((200, {"Apps": [{"AppName": "a"}]}))
    shared = SharedAnswers()
    one, other = (reader(wire.session(), shared=shared) for _ in range(2))

    first, second = one.sagemaker.list_apps(), other.sagemaker.list_apps()

    assert (first["Apps"], second["Apps"]) == ([{"AppName": "a"}],) * 2
    assert (len(wire.sent), is_reused(first), is_reused(second)) == (1, False, True)
    one.sagemaker.list_apps(DomainIdEquals="d-1")
    one.sagemaker.list_spaces()
    one.at("eu-west-1").sagemaker.list_apps()
    assert len(wire.sent) == 4
    one.client("ecr").describe_registry()
    one.client("ecr").describe_registry()
    assert len(wire.sent) == 6
    alone = reader(wire.session(), shared=SharedAnswers())
    alone.sagemaker.list_apps()
    assert len(wire.sent) == 7


def test_a_failure_is_asked_again() -> None:
    wire = Wire((400, {"__type": "AccessDenied"}), (200, APPS))
    aws = reader(wire.session(), shared=SharedAnswers())

    with pytest.raises(ClientError):
        aws.sagemaker.list_apps()
    assert aws.sagemaker.list_apps()["Apps"] == []
    assert len(wire.sent) == 2


def test_what_came_to_no_answer_is_asked_again() -> None:
    wire = Wire((200, APPS))
    aws = reader(wire.session(), shared=SharedAnswers())
    broken = [EndpointConnectionError(endpoint_url="https://x")]

    def cut(**_: object) -> None:
        if broken:
            raise broken.pop()

    aws.sagemaker.meta.events.register_first("before-send", cut)
    with pytest.raises(EndpointConnectionError):
        aws.sagemaker.list_apps()

    assert aws.sagemaker.list_apps()["Apps"] == []


@pytest.mark.parametrize(("times", "asked"), [([False], 1), ([True, True, False], 3)])
def test_who_waits_minds_the_time(monkeypatch: pytest.MonkeyPatch, times: list[bool], asked: int) -> None:
    monkeypatch.setattr(pace, "ANSWER_PAUSE", 0.001)
    shared, looked = SharedAnswers(), list[bool]()
    shared._answers["key"] = pace.PendingRequest("key")

    def has_time() -> bool:
        looked.append(times[len(looked)])
        return looked[-1]

    assert shared._known("key", {}, has_time) is None
    assert len(looked) == asked


def test_the_end_of_a_request_wakes_who_waits_for_it() -> None:
    shared, context = SharedAnswers(), dict[str, Any]()
    assert shared._known("key", context, lambda: False) is None
    (own,) = context.values()

    shared._give_up(context=context)

    assert own.done.is_set()


def test_who_asks_meanwhile_waits_for_the_answer_or_for_its_end() -> None:
    shared, begun, go = SharedAnswers(), threading.Event(), threading.Event()
    wire = Wire((200, APPS))

    def slow(**_: object) -> None:
        begun.set()
        assert go.wait(20)

    slowly = reader(wire.session(), shared=shared)
    slowly.sagemaker.meta.events.register_first("before-send", slow)
    first = threading.Thread(target=slowly.sagemaker.list_apps)
    first.start()
    assert begun.wait(20)
    late = reader(wire.session(), shared=shared)
    answered = list[Any]()
    second = threading.Thread(target=lambda: answered.append(late.sagemaker.list_apps()))
    second.start()
    go.set()
    first.join(20)
    second.join(20)

    assert (len(wire.sent), is_reused(answered[0])) == (1, True)


# --- clients ------------------------------------------------------------------------------------


def test_times_are_in_utc_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    wire = Wire((200, {"Apps": [{"AppName": "a", "CreationTime": 1790000000.5}]}))

    (app,) = make_client(wire.session(), "sagemaker", REGION, 1).list_apps()["Apps"]

    assert app["CreationTime"] == datetime.fromtimestamp(1790000000.5, UTC)
    assert app["CreationTime"].tzinfo is UTC


def test_the_account_stands_before_s3_control_only_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    wire = Wire((200, b"<GetPublicAccessBlockOutput/>"))
    client = make_client(wire.session(), "s3control", REGION, 1)
    client.get_public_access_block(AccountId=ACCOUNT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1234")
    make_client(wire.session(), "s3control", REGION, 1).get_public_access_block(AccountId=ACCOUNT)

    assert [one.url.split("/")[2] for one in wire.sent] == [
        f"{ACCOUNT}.s3-control.{REGION}.amazonaws.com", "localhost:1234",
    ]  # fmt: skip


def test_a_lifecycle_configuration_is_answered_and_sent_as_its_text() -> None:
    text = (
        b"<LifecycleConfiguration><Rule><ID>a\r</ID><Status>Enabled</Status></Rule></LifecycleConfiguration>"
    )
    wire = Wire((200, text), (200, b""), (404, b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>"))
    s3 = make_client(wire.session(), "s3", REGION, 1)

    assert s3.get_bucket_lifecycle_configuration(Bucket="b")[LIFECYCLE_TEXT] == text
    s3.put_bucket_lifecycle_configuration(Bucket="b", **{LIFECYCLE_TEXT: text})
    assert wire.sent[-1].body == text
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="b")
    rules = {"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]}
    wire.answers = [(200, b"")]
    s3.put_bucket_lifecycle_configuration(Bucket="b", LifecycleConfiguration=rules)
    assert b"<Days>1</Days>" in wire.sent[-1].body


def test_the_credentials_are_those_of_a_caller() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/maria"
    answer = {"Account": ACCOUNT, "Arn": arn, "UserId": "u"}

    assert read_caller(Script({"sts:GetCallerIdentity": answer}).session(), REGION, 1) == Caller(ACCOUNT, arn)


def test_an_account_is_opened_with_one_reader_for_each_region() -> None:
    here, elsewhere = Script({}).session(), Script({}).session()
    given: dict[str, Any] = {
        "account": ACCOUNT,
        "regions": [REGION, "eu-west-1"],
        "attempts": 1,
        "pace": None,
    }

    with (
        open_regions(here, **given) as both,
        open_regions(here, **given, prices_from=elsewhere, shared=SharedAnswers()) as other,
    ):
        assert [(one.region, one.account, one.shares) for one in both] == [
            (REGION, ACCOUNT, False), ("eu-west-1", ACCOUNT, False),
        ]  # fmt: skip
        assert both[0].prices is both[1].prices is not other[0].prices
        assert (both[0]._shared is both[1]._shared, other[0].shares) == (True, True)
        assert not_none(both[0]._shared).services == {"ce"}
        assert both[0].has_time
    with open_regions(here, **given, has_time=lambda: False) as late:
        assert not late[1].has_time


def test_what_a_run_described_is_kept_even_if_it_breaks_off() -> None:
    saved = list[bool]()
    kept: Any = SimpleNamespace(save=lambda: saved.append(True))
    given: dict[str, Any] = {"account": ACCOUNT, "regions": [REGION], "attempts": 1, "pace": None}

    with pytest.raises(OutOfTimeError), open_regions(Script({}).session(), **given, kept=kept):
        raise OutOfTimeError

    assert saved == [True]


@pytest.mark.parametrize("from_elsewhere", [True, False])
def test_prices_are_asked_for_with_the_session_they_come_from(from_elsewhere: bool) -> None:  # noqa: FBT001
    answer: dict[str, Any] = {"PriceList": []}
    here, elsewhere = Script({"pricing:GetProducts": answer}), Script({"pricing:GetProducts": answer})
    more: dict[str, Any] = {"prices_from": elsewhere.session()} if from_elsewhere else {}

    with open_regions(
        here.session(), account=ACCOUNT, regions=["eu-west-1"], attempts=1, pace=None, **more
    ) as (aws,):
        aws.prices.hourly("eu-west-1", "Training", "ml.g5.xlarge")

    assert [bool(one.calls) for one in (here, elsewhere)] == [not from_elsewhere, from_elsewhere]
    assert GET_CALLER_IDENTITY == "sts:GetCallerIdentity"


# --- files of a run -----------------------------------------------------------------------------


def test_files_in_a_temporary_folder_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_janitor.aws.client.BLOCK_SIZE", 4)
    files: Any = FolderScratch()
    assert (files.lasting, files.kept("a")) == (False, None)
    with pytest.raises(FileChangedError, match=r"pyproject\.toml is gone"):
        next(files.blocks("pyproject.toml"))  # no file of the current folder

    files.put("a/b", b"0123456789")
    files.put("a/c", b"")
    files.put("a/c", b"again")
    files.put("e/f/g", b"")

    files.keep("a", {})
    assert ([*files.blocks("a/b")], [*files.blocks("a/c")]) == ([b"0123", b"4567", b"89"], [b"agai", b"n"])
    assert (files.kept("a"), [*files.blocks("e/f/g")]) == (None, [])
    with pytest.raises(FileChangedError, match="a/d is gone"):
        next(files.blocks("a/d"))
    made = of_type(Path, files._made)
    del files
    assert not made.exists()


def test_a_temporary_folder_that_somebody_deleted_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    files, errors = FolderScratch(), list[object]()
    files.put("a", b"")
    rmtree(not_none(files._made))
    monkeypatch.setattr("sys.excepthook", lambda *error: errors.append(error))

    del files
    gc.collect()

    assert errors == []


@pytest.mark.parametrize(("status", "accepted"), [(202, True), (200, False)])
def test_an_event_is_handed_over_only_if_lambda_accepts_it(status: int, accepted: bool) -> None:  # noqa: FBT001
    script = Script({"lambda:Invoke": Torn({"StatusCode": status})})
    client = script.aws().armed().client("lambda")

    if accepted:
        hand_over(client, "worker", {"a": 1})
    else:
        with pytest.raises(RuntimeError, match="Lambda answered 200 to the invocation of worker"):
            hand_over(client, "worker", {"a": 1})
    assert script.asked("lambda:Invoke") == [
        {"FunctionName": "worker", "InvocationType": "Event", "Payload": b'{"a": 1}'}
    ]


def test_a_long_list_that_waits_keeps_nobody_else_from_reading() -> None:
    readers, turn, waiting = ReaderThreads(), Event(), Barrier(READ_THREADS + 1)

    def wait(number: int) -> int:
        if number < READ_THREADS:
            waiting.wait(20)
        assert turn.wait(20)
        return number

    with ThreadPoolExecutor(1) as detector:
        slow = detector.submit(lambda: readers.map(wait, range(10 * READ_THREADS)))
        waiting.wait(20)
        assert readers.map(str, range(3)) == ["0", "1", "2"]
        turn.set()
        assert slow.result(20) == [*range(10 * READ_THREADS)]


def test_so_many_of_a_list_are_read_side_by_side() -> None:
    under_way, most, lock, full = 0, 0, Lock(), Event()

    def read(_: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way == READ_THREADS:
                full.set()
        assert full.wait(20)
        with lock:
            under_way -= 1

    ReaderThreads().map(read, range(3 * READ_THREADS))

    assert most == READ_THREADS
