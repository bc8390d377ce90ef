"""Studio: what stands in a domain, which settings it has, and apps that are listed after their end."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

import plain_requests
from corrected import Control
from moto_corrections.clock import DEFAULT
from plain_requests import ROLE, refusal, refused

MINUTE = timedelta(minutes=1)
ROOT = "arn:aws:sagemaker:us-east-1:123456789012"
IDLE = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": 60}
SETTINGS = {"JupyterLabAppSettings": {"AppLifecycleManagement": {"IdleSettings": IDLE}}}


@pytest.fixture
def domain(sagemaker: Any) -> str:
    """A domain with a user profile "anna" and her private space "desk"."""
    made = plain_requests.domain(
        sagemaker, "research", DefaultUserSettings={"ExecutionRole": ROLE} | SETTINGS
    )
    sagemaker.create_user_profile(DomainId=made, UserProfileName="anna")
    sagemaker.create_space(
        DomainId=made,
        SpaceName="desk",
        OwnershipSettings={"OwnerUserProfileName": "anna"},
        SpaceSharingSettings={"SharingType": "Private"},
        SpaceSettings={"AppType": "JupyterLab"},
    )
    return made


def lab(domain: str, **more: Any) -> dict[str, Any]:
    return {"DomainId": domain, "SpaceName": "desk", "AppType": "JupyterLab", "AppName": "default"} | more


def test_a_domain_has_what_it_was_made_with(sagemaker: Any, domain: str) -> None:
    found = sagemaker.describe_domain(DomainId=domain)

    assert (found["DomainName"], found["Status"], found["AuthMode"]) == ("research", "InService", "IAM")
    assert found["DomainArn"] == f"{ROOT}:domain/{domain}"
    assert found["DefaultUserSettings"]["JupyterLabAppSettings"] == SETTINGS["JupyterLabAppSettings"]
    (listed,) = sagemaker.list_domains()["Domains"]
    assert listed["DomainArn"] == found["DomainArn"]
    assert listed["CreationTime"] == DEFAULT


def test_the_domain_s_identifier_is_the_same_for_the_same_history(sagemaker: Any, control: Control) -> None:
    first = [plain_requests.domain(sagemaker, "one"), plain_requests.domain(sagemaker, "one")]
    control.reset()

    assert [plain_requests.domain(sagemaker, "one"), plain_requests.domain(sagemaker, "one")] == first
    assert len(set(first)) == 2


def test_an_update_changes_what_it_names_and_leaves_the_rest(sagemaker: Any, domain: str) -> None:
    off = {
        "JupyterLabAppSettings": {
            "AppLifecycleManagement": {"IdleSettings": {"LifecycleManagement": "DISABLED"}}
        }
    }
    sagemaker.update_domain(DomainId=domain, DefaultUserSettings=off)
    sagemaker.update_user_profile(DomainId=domain, UserProfileName="anna", UserSettings=SETTINGS)

    settings = sagemaker.describe_domain(DomainId=domain)["DefaultUserSettings"]
    assert settings["ExecutionRole"] == ROLE
    idle = settings["JupyterLabAppSettings"]["AppLifecycleManagement"]["IdleSettings"]
    assert idle == IDLE | {"LifecycleManagement": "DISABLED"}
    profile = sagemaker.describe_user_profile(DomainId=domain, UserProfileName="anna")
    assert profile["UserSettings"] == SETTINGS


@pytest.mark.usefixtures("domain")
def test_profiles_and_spaces_are_listed_by_domain_and_part_of_a_name(sagemaker: Any) -> None:
    other = plain_requests.domain(sagemaker, "other")
    sagemaker.create_user_profile(DomainId=other, UserProfileName="annabel")
    sagemaker.create_space(DomainId=other, SpaceName="shared-desk")

    def profiles(**asked: Any) -> list[str]:
        return [one["UserProfileName"] for one in sagemaker.list_user_profiles(**asked)["UserProfiles"]]

    assert profiles() == ["anna", "annabel"]
    assert profiles(DomainIdEquals=other) == ["annabel"]
    assert profiles(UserProfileNameContains="ABEL") == ["annabel"]
    spaces = sagemaker.list_spaces()["Spaces"]
    assert [one["SpaceName"] for one in spaces] == ["desk", "shared-desk"]
    assert spaces[0]["OwnershipSettingsSummary"] == {"OwnerUserProfileName": "anna"}
    assert spaces[0]["SpaceSettingsSummary"] == {"AppType": "JupyterLab"}
    assert spaces[0]["SpaceSharingSettingsSummary"] == {"SharingType": "Private"}
    assert "OwnershipSettingsSummary" not in spaces[1]


def test_a_space_is_described_with_its_settings(sagemaker: Any, domain: str) -> None:
    found = sagemaker.describe_space(DomainId=domain, SpaceName="desk")

    assert found["SpaceArn"] == f"{ROOT}:space/{domain}/desk"
    assert found["OwnershipSettings"] == {"OwnerUserProfileName": "anna"}
    assert found["SpaceSettings"] == {"AppType": "JupyterLab"}


def test_an_app_in_a_space_has_times_of_a_health_check(sagemaker: Any, control: Control, domain: str) -> None:
    with control.at_once():
        arn = sagemaker.create_app(**lab(domain), ResourceSpec={"InstanceType": "ml.g5.xlarge"})["AppArn"]

    found = sagemaker.describe_app(**lab(domain))

    assert arn == found["AppArn"] == f"{ROOT}:app/{domain}/desk/JupyterLab/default"
    assert (found["Status"], found["AppType"], found["SpaceName"]) == ("InService", "JupyterLab", "desk")
    assert found["ResourceSpec"] == {"InstanceType": "ml.g5.xlarge"}
    assert found["LastUserActivityTimestamp"] == found["LastHealthCheckTimestamp"] == DEFAULT
    assert "UserProfileName" not in found


def test_times_and_status_of_an_app_can_be_set(sagemaker: Any, control: Control, domain: str) -> None:
    sagemaker.create_app(**lab(domain))
    worked = DEFAULT - timedelta(hours=5)

    control.patch(
        "sagemaker",
        ["apps", f"{domain}/desk/JupyterLab/default"],
        LastUserActivityTimestamp=worked,
        status="Pending",
    )

    found = sagemaker.describe_app(**lab(domain))
    assert (found["LastUserActivityTimestamp"], found["Status"]) == (worked, "Pending")


@pytest.mark.parametrize(
    ("kind", "instance"), [("JupyterServer", "system"), ("KernelGateway", "ml.t3.medium"), ("Canvas", None)]
)
def test_the_default_instance_of_an_app(sagemaker: Any, domain: str, kind: str, instance: str | None) -> None:
    asked = {"DomainId": domain, "UserProfileName": "anna", "AppType": kind, "AppName": "default"}
    sagemaker.create_app(**asked)

    assert sagemaker.describe_app(**asked)["ResourceSpec"].get("InstanceType") == instance


def statuses(sagemaker: Any) -> list[str]:
    return [one["Status"] for one in sagemaker.list_apps()["Apps"]]


def test_an_app_is_listed_for_a_day_after_its_deletion(sagemaker: Any, control: Control, domain: str) -> None:
    sagemaker.create_app(**lab(domain))
    assert statuses(sagemaker) == ["Pending"]
    assert refused(sagemaker.delete_app, **lab(domain)) == "ResourceInUse"
    control.set_clock(DEFAULT + 2 * MINUTE)
    assert statuses(sagemaker) == ["InService"]
    sagemaker.delete_app(**lab(domain))
    assert statuses(sagemaker) == ["Deleting"]
    assert refused(sagemaker.delete_app, **lab(domain)) == "ResourceInUse"
    control.set_clock(DEFAULT + 3 * MINUTE)
    assert statuses(sagemaker) == ["Deleted"]
    assert re.search(
        "ValidationException.*has already been deleted.$", refusal(sagemaker.delete_app, **lab(domain))
    )

    gone = DEFAULT + 3 * MINUTE + timedelta(hours=24)
    control.set_clock(gone - timedelta(seconds=1))
    assert statuses(sagemaker) == ["Deleted"]
    assert sagemaker.describe_app(**lab(domain))["Status"] == "Deleted"
    control.set_clock(gone)
    assert statuses(sagemaker) == []
    assert refused(sagemaker.describe_app, **lab(domain)) == "ResourceNotFound"
    assert refused(sagemaker.delete_app, **lab(domain)) == "ResourceNotFound"


def test_an_app_comes_back_under_its_name_whole(sagemaker: Any, control: Control, domain: str) -> None:
    spec = {
        "InstanceType": "ml.g5.xlarge",
        "SageMakerImageArn": f"{ROOT}:image/distribution",
        "SageMakerImageVersionArn": f"{ROOT}:image-version/distribution/3",
        "LifecycleConfigArn": f"{ROOT}:studio-lifecycle-config/packages",
    }
    sagemaker.create_app(**lab(domain), ResourceSpec=spec, RecoveryMode=False)
    assert refused(sagemaker.create_app, **lab(domain)) == "ResourceInUse"
    control.set_clock(DEFAULT + 2 * MINUTE)
    before = sagemaker.describe_app(**lab(domain))
    sagemaker.delete_app(**lab(domain))
    assert refused(sagemaker.create_app, **lab(domain)) == "ResourceInUse"
    control.set_clock(DEFAULT + timedelta(hours=1))

    kept = {name: before[name] for name in ("ResourceSpec", "RecoveryMode")}
    sagemaker.create_app(**lab(domain), **kept)

    (app,) = sagemaker.list_apps()["Apps"]
    assert (app["Status"], app["CreationTime"]) == ("Pending", DEFAULT + timedelta(hours=1))
    after = sagemaker.describe_app(**lab(domain))
    assert after["ResourceSpec"] == spec
    assert after["RecoveryMode"] is False


def test_apps_are_listed_by_domain_and_owner_in_pages(sagemaker: Any, domain: str) -> None:
    sagemaker.create_app(**lab(domain))
    for number in range(11):
        sagemaker.create_app(
            DomainId=domain, UserProfileName="anna", AppType="KernelGateway", AppName=f"k{number:02}"
        )

    def count(**asked: Any) -> int:
        return len(sagemaker.list_apps(MaxResults=100, **asked)["Apps"])

    assert (count(), count(DomainIdEquals=domain), count(DomainIdEquals="d-other")) == (12, 12, 0)
    assert (count(UserProfileNameEquals="anna"), count(SpaceNameEquals="desk")) == (11, 1)
    first = sagemaker.list_apps()
    second = sagemaker.list_apps(NextToken=first["NextToken"])
    assert (len(first["Apps"]), len(second["Apps"])) == (10, 2)
    assert (
        refused(sagemaker.list_apps, UserProfileNameEquals="anna", SpaceNameEquals="desk")
        == "ValidationException"
    )
    assert refused(sagemaker.list_apps, MaxResults=101) == "ValidationException"


def test_an_app_needs_one_owner_that_exists(sagemaker: Any, domain: str) -> None:
    both = lab(domain, UserProfileName="anna")
    assert refused(sagemaker.create_app, **both) == "ValidationException"
    assert refused(sagemaker.create_app, **lab(domain, SpaceName="no-desk")) == "ResourceNotFound"
    assert refused(sagemaker.create_app, **lab("d-none")) == "ResourceNotFound"


def test_nothing_that_holds_something_is_deleted(sagemaker: Any, control: Control, domain: str) -> None:
    sagemaker.create_app(**lab(domain))
    desk = {"DomainId": domain, "SpaceName": "desk"}

    assert refused(sagemaker.delete_space, **desk) == "ResourceInUse"
    assert refused(sagemaker.delete_domain, DomainId=domain) == "ResourceInUse"
    control.set_clock(DEFAULT + 2 * MINUTE)
    sagemaker.delete_app(**lab(domain))
    assert refused(sagemaker.delete_space, **desk) == "ResourceInUse"
    control.set_clock(DEFAULT + 3 * MINUTE)
    sagemaker.delete_space(**desk)
    sagemaker.delete_user_profile(DomainId=domain, UserProfileName="anna")
    sagemaker.delete_domain(DomainId=domain)
    assert sagemaker.list_domains()["Domains"] == []
    assert refused(sagemaker.describe_domain, DomainId=domain) == "ResourceNotFound"


def test_an_app_gets_a_copy_of_the_tags_of_domain_and_profile(sagemaker: Any) -> None:
    domain = plain_requests.domain(
        sagemaker, "tagged", Tags=[{"Key": "team", "Value": "x"}, {"Key": "env", "Value": "d"}]
    )
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="ben", Tags=[{"Key": "env", "Value": "p"}])
    arn = sagemaker.create_app(
        DomainId=domain,
        UserProfileName="ben",
        AppType="Canvas",
        AppName="default",
        Tags=[{"Key": "own", "Value": "1"}],
    )["AppArn"]

    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}

    assert tags == {"team": "x", "env": "p", "own": "1"}


def test_the_tagging_api_knows_all_four_kinds(sagemaker: Any, aws: Any, domain: str) -> None:
    sagemaker.create_app(**lab(domain))
    path = {"domain": domain, "user-profile": f"{domain}/anna", "space": f"{domain}/desk"}
    arns = [f"{ROOT}:{kind}/{name}" for kind, name in path.items()]
    arns.append(f"{ROOT}:app/{domain}/desk/JupyterLab/default")
    for arn in arns:
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "anna"}])

    answer = aws("resourcegroupstaggingapi").get_resources(
        ResourceTypeFilters=["sagemaker:app", "sagemaker:space"]
    )

    found = {one["ResourceARN"] for one in answer["ResourceTagMappingList"]}
    assert found == {arns[2], arns[3]}


def test_an_editor_elsewhere_connects_where_a_space_allows_it(aws: Any, sagemaker: Any, domain: str) -> None:
    for name, access in (("open", "ENABLED"), ("shut", "DISABLED")):
        sagemaker.create_space(DomainId=domain, SpaceName=name, SpaceSettings={"RemoteAccess": access})
    arn = sagemaker.describe_space(DomainId=domain, SpaceName="open")["SpaceArn"]

    assert sagemaker.start_session(ResourceIdentifier=arn)["SessionId"]
    assert (
        refused(sagemaker.start_session, ResourceIdentifier=arn.replace("open", "shut"))
        == "ValidationException"
    )
    assert (
        refused(sagemaker.start_session, ResourceIdentifier=arn.replace("open", "none")) == "ResourceNotFound"
    )

    events = aws("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "StartSession"}]
    )["Events"]
    asked = [json.loads(one["CloudTrailEvent"])["requestParameters"] for one in events]
    assert asked == [{"resourceIdentifier": arn}]
