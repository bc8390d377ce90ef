"""Which roles the undo function may hand to SageMaker, and what is said of the others."""

import pytest
from botocore.exceptions import ClientError

from fakes import raising, refusal, target_at
from ml_janitor.config.settings import Settings, undo_role_warnings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.detectors.hung_training_jobs.rule import HungTrainingJobs
from ml_janitor.detectors.idle_endpoints.rule import IdleEndpoints
from ml_janitor.engine import detector
from tables import cases

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-training"
PATHS = f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-*"


def settings(*roles: str) -> Settings:
    return Settings.parse({"janitor": {"undo_roles": list(roles)}})


def test_roles_are_passed_to_sagemaker_only_if_they_are_listed() -> None:
    for kind in (HungTrainingJobs, IdleEndpoints):
        assert "iam:PassRole" not in {grant.action for grant in kind().undoes}
        given = settings(ROLE, PATHS).detector(kind)
        passed = [(one.on, one.when) for one in given.undoes if one.action == "iam:PassRole"]
        assert passed == [(ROLE, detector.PASSED_TO_SAGEMAKER), (PATHS, detector.PASSED_TO_SAGEMAKER)]


@cases(
    "role, listed",
    (ROLE, True),
    (f"{ROLE}-2", False),
    (ROLE.upper(), False),
    (f"arn:aws:iam::{ACCOUNT}:role/service-role/AmazonSageMaker-ExecutionRole-1", True),
    (f"arn:aws:iam::{ACCOUNT}:role/AmazonSageMaker-ExecutionRole-1", False),
    ("arn:aws:iam::210987654321:role/ml-training", False),
    (ROLE.replace("arn:aws:", "arn:aws-cn:"), True),
    ("", True),
)
def test_a_role_is_listed_by_its_arn_or_a_glob(role: str, *, listed: bool) -> None:
    expected = "" if listed else f'undo_roles = ["{role}"] in janitor'
    assert detector.missing_role_setting((ROLE, PATHS), role) == expected


def test_only_what_hands_a_role_over_again_needs_it() -> None:
    target = target_at("training-job/job", None)
    rule = HungTrainingJobs()

    assert rule.missing_for_undo(target, {"what": "job", "request": {"RoleArn": ROLE}}).startswith(
        "undo_roles"
    )
    assert rule.missing_for_undo(target, {"what": "job", "request": {}}) == ""
    assert rule.missing_for_undo(target, {"what": "pool"}) == ""


@cases(
    "role",
    "*",
    "ml-training",
    "arn:aws:iam::*:role/ml-training",
    f"arn:aws:iam::{ACCOUNT}:user/maria",
    f"arn:aws:iam::{ACCOUNT}:role/",
    f"arn:aws:iam::{ACCOUNT}:role/a b",
)
def test_what_names_no_role_of_an_account_is_refused(role: str) -> None:
    with pytest.raises(InvalidInputError, match=r"janitor\.undo_roles\[1\]: expected the ARN of a role"):
        settings(ROLE, role)


def test_every_role_is_warned_of_and_so_is_none_of_this_account() -> None:
    (every,) = undo_role_warnings(settings(f"arn:aws:iam::{ACCOUNT}:role/*"), account=ACCOUNT)
    (foreign,) = undo_role_warnings(settings(ROLE), account="210987654321", partition="aws")
    (china,) = undo_role_warnings(
        settings(ROLE.replace("arn:aws:", "arn:aws-cn:")), account=ACCOUNT, partition="aws"
    )

    assert "is every role of the account" in every
    assert "none is a role of account 210987654321 in aws" in foreign
    assert "none is a role" in china
    for fine in (settings(), settings(ROLE), settings(ROLE, "arn:aws:iam::210987654321:role/theirs")):
        assert undo_role_warnings(fine, account=ACCOUNT, partition="aws-us-gov") == []
        assert undo_role_warnings(fine) == []


def test_in_an_organization_roles_of_the_accounts_that_are_acted_in_are_none_of_another() -> None:
    organization = {
        "accounts": [ACCOUNT],
        "external_id": "ml-janitor",
        "callers": ["arn:aws:iam::333333333333:role/platform"],
        "regions": ["eu-west-1"],
    }

    def said(role: str) -> list[str]:
        armed = {"mode": "act", "act_in": [f"{ACCOUNT}/eu-west-1"]}
        given = {"undo_roles": [role], "slack_channel": "C1", "slack_secret": "s", "time_zone": "UTC"}
        tables = {"janitor": given, "organization": organization, "detectors": {"idle-endpoints": armed}}
        return undo_role_warnings(Settings.parse(tables), account="333333333333", partition="aws")

    assert said(ROLE) == []
    (none,) = said("arn:aws:iam::333333333333:role/ml-training")
    assert f"none is a role of account {ACCOUNT} in aws" in none


def test_a_key_is_used_for_aws_only() -> None:
    key = detector.key_grant("the docs")

    assert (key.action, key.on, key.implied, key.source) == ("kms:CreateGrant", "key/*", True, "the docs")
    assert key.when == (detector.Condition("Bool", "kms:GrantIsForAWSResource", ("true",)),)


def denied(action: str) -> ClientError:
    said = f"User: x is not authorized to perform: {action} on resource: {ROLE}"
    return refusal("AccessDeniedException", said)


def test_a_role_that_aws_does_not_let_be_handed_over_is_named_with_what_to_do() -> None:
    with pytest.raises(
        detector.CannotActError,
        match=r"not authorized to perform iam:PassRole on its role .*ml-training.* undo_roles",
    ):
        detector.call_passing_role(raising(denied("iam:PassRole")), ROLE)
    with pytest.raises(ClientError):
        detector.call_passing_role(raising(denied("sagemaker:CreateEndpointConfig")), ROLE)
