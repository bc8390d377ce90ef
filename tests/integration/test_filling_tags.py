"""Absent tags are filled in and removed again, whatever somebody else does to them meanwhile."""

from typing import Any

import boto3
import pytest

from conftest import ACCOUNT, DAY, NOW, REGION
from ml_janitor.aws import tags
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.core.model import Tags, Value
from ml_janitor.detectors.untagged_resources.rule import UntaggedResources
from ml_janitor.engine.detector import CannotActError
from ml_janitor_sandbox.control import Control
from recorded_acts import Memory, RecordedAct, found, prepared
from standin import KilledError
from studio_seed import spelled
from tables import cases
from tag_seed import COMPLETE, model

HAS = {key: value for key, value in COMPLETE.items() if key not in {"environment", "team"}}
FILLED = {"environment": "unknown", "team": "ml"}
DETECTOR = UntaggedResources(fill_tags=FILLED)
EVERY_KIND = ("model", "bucket", "repository")


class Account:
    """A model, and the bucket and the repository that it uses; each lacks an environment and a team."""

    def __init__(self, box: Control, session: boto3.Session, aws: Aws) -> None:
        self.box, self.session, self.aws = box, session, aws
        self.sagemaker: Any = session.client("sagemaker")
        self.s3, self.ecr = session.client("s3"), session.client("ecr")
        with box.at(NOW - 30 * DAY):
            self.make("model", **HAS)
            self.s3.create_bucket(Bucket="models")
            self.s3.put_bucket_tagging(Bucket="models", Tagging={"TagSet": spelled(HAS)})
            self.ecr.create_repository(repositoryName="serve", tags=spelled(HAS))
        self.names = {"model": "churn", "bucket": "models", "repository": "serve"}
        self.arns = {
            "model": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model/churn",
            "bucket": "arn:aws:s3:::models",
            "repository": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/serve",
        }

    def make(self, kind: str, **own: str) -> None:
        assert kind == "model"
        model(self.session, "churn", **own)

    def recorded(self, kind: str, detector: UntaggedResources = DETECTOR) -> RecordedAct:
        return prepared(detector, self.aws, found(detector, self.aws, self.names[kind]))

    def tags(self, kind: str) -> Tags:
        read = tags.read_exact_tags(self.aws, self.arns[kind])
        assert isinstance(read, Value)
        return read.value

    def tag(self, kind: str, **added: str) -> None:
        """Somebody else adds tags, or changes them."""
        match kind:
            case "bucket":
                now = {**self.tags(kind), **added}
                self.s3.put_bucket_tagging(Bucket="models", Tagging={"TagSet": spelled(now)})
            case "repository":
                self.ecr.tag_resource(resourceArn=self.arns[kind], tags=spelled(added))
            case _:
                self.sagemaker.add_tags(ResourceArn=self.arns[kind], Tags=spelled(added))


@pytest.fixture
def account(box: Control, session: boto3.Session, aws: Aws) -> Account:
    return Account(box, session, aws)


every_kind = pytest.mark.parametrize("kind", EVERY_KIND)


@every_kind
def test_absent_tags_are_added_and_removed_again(account: Account, kind: str) -> None:
    recorded = account.recorded(kind)
    assert recorded.record == {"tags": HAS, "add": {"team": "ml", "environment": "unknown"}}
    assert recorded.finding.action == "add team = ml and environment = unknown"
    assert not recorded.settled()

    recorded.act()
    assert account.tags(kind) == {**HAS, **FILLED}
    assert recorded.settled()
    recorded.act()

    recorded.undo()
    assert account.tags(kind) == HAS
    recorded.undo()
    assert account.tags(kind) == HAS


@every_kind
@pytest.mark.parametrize("own", [{"team": "fraud"}, {"Team": "fraud"}, {"team": ""}], ids=str)
def test_what_somebody_added_in_between_is_theirs(account: Account, kind: str, own: dict[str, str]) -> None:
    recorded = account.recorded(kind)
    account.tag(kind, **own, note="mine")

    recorded.act()
    assert account.tags(kind) == {**HAS, **own, "note": "mine", "environment": "unknown"}
    assert recorded.settled()

    recorded.undo()
    assert account.tags(kind) == {**HAS, **own, "note": "mine"}


@every_kind
def test_a_value_that_somebody_changed_is_not_taken_away(account: Account, kind: str) -> None:
    recorded = account.recorded(kind)
    recorded.act()
    account.tag(kind, environment="staging", note="mine")

    recorded.undo()

    assert account.tags(kind) == {**HAS, "environment": "staging", "note": "mine"}


def test_no_moment_is_there_in_which_a_tag_of_a_bucket_gets_lost(account: Account) -> None:
    """Nothing ever writes the whole set: what is added while the call is on its way stays."""
    recorded = account.recorded("bucket")
    account.box.clear_calls()

    recorded.act()
    recorded.undo()

    calls = account.box.calls()
    assert calls["s3:TagResource"] == calls["s3:UntagResource"] == 2, calls
    assert not {"s3:PutBucketTagging", "s3:DeleteBucketTagging"} & calls.keys()


@every_kind
def test_half_of_it_is_taken_back_too(account: Account, kind: str) -> None:
    recorded = account.recorded(kind)
    with pytest.raises(KilledError):
        recorded.act(Memory(dies="add team"))

    recorded.undo()

    assert account.tags(kind) == HAS


def gone(account: Account, kind: str) -> None:
    match kind:
        case "bucket":
            account.s3.delete_bucket(Bucket="models")
        case "repository":
            account.ecr.delete_repository(repositoryName="serve")
        case _:
            account.sagemaker.delete_model(ModelName="churn")


@every_kind
def test_what_is_gone_is_settled_and_not_brought_back(account: Account, kind: str) -> None:
    recorded = account.recorded(kind)
    gone(account, kind)

    with pytest.raises(ReadError):
        recorded.act()
    assert recorded.settled()
    with pytest.raises(CannotActError, match="it is gone, or another resource has its name now"):
        recorded.undo()


@cases(
    "kind, service, operation",
    ("model", "sagemaker", "ListModels"),
    ("bucket", "s3", "ListBuckets"),
    ("repository", "ecr", "DescribeRepositories"),
)
def test_a_broken_listing_proves_nothing(account: Account, kind: str, service: str, operation: str) -> None:
    recorded = account.recorded(kind)
    account.box.fault(service, operation, "deny", times=0)

    with pytest.raises(ReadError, match="AccessDenied"):
        recorded.settled()


def test_without_its_creation_time_nobody_knows_whether_it_still_is_the_same(account: Account) -> None:
    recorded = account.recorded("model")
    object.__setattr__(recorded.target, "created", None)

    with pytest.raises(ReadError, match="so another may have its name now"):
        recorded.settled()


def test_another_resource_of_its_name_keeps_its_tags(account: Account) -> None:
    recorded = account.recorded("model")
    recorded.act()
    gone(account, "model")
    account.box.set_clock(NOW + DAY)
    account.make("model", **HAS, **FILLED)

    assert recorded.settled()
    with pytest.raises(CannotActError, match="another resource has its name now"):
        recorded.undo()
    assert account.tags("model") == {**HAS, **FILLED}


def test_a_bucket_whose_creation_date_moved_is_still_it(account: Account) -> None:
    recorded = account.recorded("bucket")
    recorded.act()
    moved = recorded.target.created
    assert moved is not None
    object.__setattr__(recorded.target, "created", moved - DAY)

    assert recorded.settled()
    recorded.undo()
    assert account.tags("bucket") == HAS


def test_the_creator_becomes_the_owner(account: Account, box: Control) -> None:
    with box.at(NOW - DAY):
        model(account.session, "fresh", **{key: value for key, value in COMPLETE.items() if key != "owner"})

    rule = UntaggedResources(fill_tags=FILLED, fill_owner=True)
    recorded = prepared(rule, account.aws, found(rule, account.aws, "fresh"))
    recorded.act()

    assert recorded.record["add"] == {"owner": "sandbox"}  # the IAM user of the sandbox's credentials
    assert recorded.settled()


def test_a_resource_that_has_no_room_is_left_alone(account: Account) -> None:
    account.tag("model", **{f"note-{n}": "x" for n in range(45)})

    with pytest.raises(CannotActError, match="it has 49 tags, and AWS takes 50"):
        account.recorded("model")
