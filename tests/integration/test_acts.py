"""Acts and undos: refused, with each answer lost, and killed after each step, they end as undisturbed."""

import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from hosted import ARMED
from ml_janitor.aws.client import Aws
from ml_janitor.config.settings import Settings
from ml_janitor.engine.detector import Grant, NotFinishedError
from ml_janitor_sandbox.control import Control
from narrowing import not_none
from one_of_each import BUCKET, SCRATCH, DueResources
from recorded_acts import IAM_NAMES, Memory, found, prepared
from standin import KilledError
from tables import cases

SETTINGS = Settings.parse(tomllib.loads(ARMED))
OPERATIONS = {action: operation for operation, action in IAM_NAMES.items()} | {
    "s3:PutObject": "s3:CopyObject",
    "s3:PutLifecycleConfiguration": "s3:PutBucketLifecycleConfiguration",
}


class Killed(Memory):
    """The steps of an act whose process dies once after the call of each."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths: set[str] = set()

    def do(self, name: str, call: Callable[[], object]) -> None:
        self.dies = "" if name in self.deaths else name
        self.deaths.add(name)
        super().do(name, call)


def standing(session: boto3.Session) -> dict[str, Any]:
    """What acts change: states, tags, the objects and rules of buckets; of jobs, how many of a kind run."""
    sagemaker: Any = session.client("sagemaker")
    s3: Any = session.client("s3")
    ecr, tagging = session.client("ecr"), session.client("resourcegroupstaggingapi")
    tagged = tagging.get_resources()["ResourceTagMappingList"]
    there: dict[str, Any] = {
        one["ResourceARN"]: one["Tags"] for one in tagged if one["Tags"] and "-job/" not in one["ResourceARN"]
    }
    for arn in (one["repositoryArn"] for one in ecr.describe_repositories()["repositories"]):
        there[arn] = ecr.list_tags_for_resource(resourceArn=arn)["tags"]
    for one in sagemaker.list_notebook_instances()["NotebookInstances"]:
        there[one["NotebookInstanceName"]] = one["NotebookInstanceStatus"]
    for one in sagemaker.list_apps()["Apps"]:
        there[f"{one.get('SpaceName', '')} {one['AppName']}"] = one["Status"]
    for noun in ("Training", "Processing", "Transform"):
        listed = getattr(sagemaker, f"list_{noun.lower()}_jobs")()[f"{noun}JobSummaries"]
        there[noun] = Counter(one[f"{noun}JobStatus"] for one in listed)["InProgress"]
    for group in session.client("logs").describe_log_groups()["logGroups"]:
        there[group["logGroupName"]] = group.get("retentionInDays")
    for bucket in (one["Name"] for one in s3.list_buckets()["Buckets"]):
        there[f"objects of {bucket}"] = [
            (one["Key"], one["Size"]) for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())
        ]
        with suppress(ClientError):
            there[f"rules of {bucket}"] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return there


def finish(do: Callable[[Memory], object], memory: Memory) -> object:
    """Go on after each death, and with what AWS takes its time for."""
    for _ in range(20):
        try:
            return do(memory)
        except (KilledError, NotFinishedError):
            continue
    pytest.fail("it never ends")


@cases(
    "waste, name",
    ("idle-notebooks", "notebook"),
    ("idle-studio-apps", "space/JupyterLab/default"),
    ("idle-studio-apps", "anna-space/KernelGateway/gpu"),
    ("hung-training-jobs", "spared"),
    ("hung-training-jobs", "features"),
    ("hung-training-jobs", "scores"),
    ("untagged-resources", "untagged"),
    ("untagged-resources", "bucket"),
    ("untagged-resources", "repository"),
    ("duplicate-artifacts", f"{BUCKET}/copy.tar.gz"),
    ("unversioned", f"{BUCKET}/copy-of-small.tar.gz"),
    ("forgotten-leftovers", "/aws/sagemaker/kept-for-ever"),
    ("storage-tiering", SCRATCH),
)
@pytest.mark.parametrize("steps", [Memory, Killed])
def test_an_act_and_its_undo_end_as_undisturbed(
    box: Control, session: boto3.Session, aws: Aws, waste: str, name: str, *, steps: type[Memory]
) -> None:
    DueResources(box, session, aws).add(waste)
    rule = not_none(SETTINGS.detector_called("duplicate-artifacts" if waste == "unversioned" else waste))
    recorded = prepared(rule, aws, found(rule, aws, name))
    before = standing(session)

    def strike(kind: str, grants: Sequence[Grant]) -> None:
        for action in {grant.action for grant in grants if steps is Memory}:
            service, _, operation = OPERATIONS.get(action, action).partition(":")
            box.fault(service, operation, kind)

    strike("deny", rule.acts)
    if box.faults():
        with pytest.raises(ClientError, match="AccessDenied"):
            recorded.act()
        box.clear_faults()
    assert (standing(session), recorded.settled()) == (before, False)

    strike("lost-reply", rule.acts)
    finish(recorded.act, steps())
    assert recorded.settled()
    assert standing(session) != before
    struck = sum(fault["struck"] for fault in box.faults())
    box.clear_faults()
    strike("hang-up", rule.undoes)
    finish(recorded.undo, steps())
    assert standing(session) == before
    assert steps is Killed or min(struck, sum(fault["struck"] for fault in box.faults())) > 0
