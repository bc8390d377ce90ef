"""What tags say beyond the owner: the tool that manages a resource, production, the team."""

from dataclasses import replace

from fakes import target_at
from ml_janitor.core.model import Tags, Unreadable, Value
from ml_janitor.core.ownership import Manager, ManagerPolicy, protection_evidence, tag_protects, team_of
from tables import cases

MINE = target_at("model/churn", None)


def marked(tags: Tags) -> dict[str, object]:
    return {mark.signal: mark.value for mark in protection_evidence(replace(MINE, tags=Value(tags)))}


@cases(
    "own, mark",
    ({"aws:cloudformation:stack-name": "prod"}, "CloudFormation stack prod"),
    ({"aws:cloudformation:stack-name": "prod", "managed-by": "manual"}, "CloudFormation stack prod"),
    ({"aws:cloudformation:logical-id": "Endpoint"}, "CloudFormation"),
    ({"managed-by": "terraform"}, "terraform"),
    ({"Managed-By": " terraform "}, "terraform"),
    ({"managed-by": "Manual"}, None),
    ({"managed-by": "unknown"}, None),
    ({"ManagedBy": "Created by hand in the AWS console"}, None),
    ({"managed-by": "click-ops"}, None),
    ({"managed-by": "ClickOps"}, None),
    ({"managed-by": "n/a"}, None),
    ({"managed-by": "-"}, None),
    ({"managed-by": "created by the AWS"}, "created by the AWS"),
    ({"managed-by": "manual-approval"}, "manual-approval"),
    ({"managed-by": "maria.lopez@example.com"}, None),
    ({"managed-by": "terraform@example.com"}, "terraform@example.com"),
    ({"managed-by": "maria"}, "maria"),
    ({"managed-by": "Data Science", "team": "data-science"}, None),
    ({"managed-by": "maria", "Owner": " Maria "}, None),
    ({"managed-by": "terraform", "owner": "terraform"}, "terraform"),
    ({"managed-by": "backstage", "created-by": "backstage"}, "backstage"),
    ({"managed-by": "maria", "Managed-By": "backstage", "owner": "maria"}, "backstage"),
    ({"managed-by": "a-very-long-portal", "terraform": "true"}, "terraform"),
    ({"bedrock:marketplace-registration-status": "registered"}, "Bedrock Marketplace"),
    ({"bedrock:marketplace-registration-status": "deregistered"}, None),
    ({"sagemaker-sdk:bedrock": "compatible"}, None),
    ({"managed-by": " "}, None),
    ({"ManagedBy": "Terraform"}, "Terraform"),
    ({"managed_by": "pulumi"}, "pulumi"),
    ({"Managed By": "platform team"}, "platform team"),
    ({"managed_by": "no"}, None),
    ({"managed-by": "manual", "Managed_By": "cdk"}, "cdk"),
    ({"terraform": "true"}, "terraform"),
    ({"Terraform": "true"}, "terraform"),
    ({"terraform": ""}, "terraform"),
    ({"terraform": "false"}, None),
    ({"ManagedByTerraform": "yes"}, "terraform"),
    ({"managed-by-terraform": "1"}, "terraform"),
    ({"terraform-workspace": "ml"}, "terraform"),
    ({"pulumi:stack": "ml-dev"}, "pulumi"),
    ({"aws-cdk:enableKmsCleanup": "true"}, "cdk"),
    ({"CreatedBy": "Terraform Cloud"}, "terraform"),
    ({"CreatedBy": "TerraformCloud"}, "terraform"),
    ({"TerraformWorkspace": "ml"}, "terraform"),
    ({"CDKStack": "ml"}, "cdk"),
    ({"terraforming": "ml"}, None),
    ({"created-by": "maria"}, None),
    ({"project": "terraforming"}, None),
    ({"sagemaker:project-name": "churn"}, "SageMaker project churn"),
    ({"AmazonDataZoneProject": "6jw4"}, "SageMaker Unified Studio project 6jw4"),
    ({"AmazonDataZoneProject": ""}, None),
    ({"AmazonDataZoneUser": "6jw4"}, None),
    ({"terraform": "true", "aws:cloudformation:stack-name": "ml"}, "CloudFormation stack ml"),
    ({}, None),
)
def test_what_a_tool_manages_is_marked(own: Tags, mark: str | None) -> None:
    assert marked(own).get("managed by") == mark


@cases(
    "own, mark",
    ({"environment": "prod"}, "prod"),
    ({"Environment": " Production "}, "Production"),
    ({"env": "prod"}, "prod"),
    ({"Env": "PROD"}, "PROD"),
    ({"Stage": "prod"}, "prod"),
    ({"acme:environment": "prod"}, "prod"),
    ({"environment": "prd"}, "prd"),
    ({"environment": "prod-eu"}, "prod-eu"),
    ({"environment": "live"}, "live"),
    ({"environment": "production-eu"}, "production-eu"),
    ({"environment": "production-line-demo"}, "production-line-demo"),  # in doubt it is
    ({"environment": "prod2"}, "prod2"),
    ({"environment": "eu-prod"}, "eu-prod"),
    ({"environment": "dev", "Environment": "prod"}, "prod"),
    ({"EnvironmentName": "prod"}, "prod"),
    ({"AppEnvironment": "production"}, "production"),
    ({"DeploymentStage": "Live"}, "Live"),
    ({"acme:MLEnv": "prod"}, "prod"),
    ({"Environment": "ProdEU"}, "ProdEU"),
    ({"Environment": "euProd2"}, "euProd2"),
    ({"Environment": "NonProd"}, None),
    ({"Environment": "PreProduction"}, None),
    ({"Environment": "Productive"}, None),
    ({"environment": "productive"}, None),
    ({"environment": "delivery"}, None),
    ({"environment": "non-prod"}, None),
    ({"environment": "pre production"}, None),
    ({"project": "prod"}, None),
    ({"environment": "dev"}, None),
    ({"environment": "nonprod"}, None),
    ({"environment": "preprod"}, None),
    ({}, None),
)
def test_production_is_marked(own: Tags, mark: str | None) -> None:
    assert marked(own).get("environment") == mark


def read(own: Tags, **deployment: tuple[str, ...]) -> Manager | None:
    return ManagerPolicy(**deployment).of(replace(MINE, tags=Value(own)))


@cases(
    "value, found",
    ("maria", None),
    ("backstage", Manager("backstage")),
    ("Backstage v2", Manager("Backstage v2")),
    ("ml-portal", Manager("ml-portal")),
    ("Terraform Cloud", Manager("Terraform Cloud")),
    ("deploy@example.com", Manager("deploy@example.com")),
)
def test_tools_that_a_deployment_names_are_all_there_are(value: str, found: Manager | None) -> None:
    assert read({"managed-by": value}, tools=("Backstage", "ML Portal", "deploy@example.com")) == found


def test_without_tools_an_unlisted_value_may_be_one() -> None:
    assert read({"managed-by": "backstage"}) == Manager("backstage", known=False)
    assert read({"managed-by": "pulumi"}) == Manager("pulumi")


def test_what_names_an_owner_or_was_filled_in_names_no_tool() -> None:
    own = {"managed-by": "fraud", "Data Owner": "Fraud"}

    assert read(own) == Manager("fraud", known=False)
    assert read(own, people=("data-owner",)) is None
    assert read(own, filled=("Fraud",)) is None
    assert read({"managed-by": "backstage", "created-by": "backstage"}, people=("created-by",)) is not None
    assert read({"managed-by": "cdk"}, filled=("cdk",)) == Manager("cdk")


def test_what_goes_along_is_marked_by_its_name() -> None:
    other = replace(MINE, name="ranker", tags=Value({"managed-by": "terraform", "environment": "prod"}))

    found = {mark.signal: mark.value for mark in protection_evidence(MINE, [other])}

    assert found == {"managed by, ranker": "terraform", "environment, ranker": "prod"}


def test_what_was_not_read_says_nothing() -> None:
    unread = replace(MINE, tags=Unreadable("denied"))

    assert (protection_evidence(MINE), protection_evidence(unread), team_of(unread)) == ((), (), None)


def test_the_team_in_any_case() -> None:
    assert team_of(replace(MINE, tags=Value({"Owner": "maria", "Team": " fraud "}))) == "fraud"
    assert team_of(replace(MINE, tags=Value({"Owner": "maria", "Team": " "}))) is None


@cases(
    "key, value, says_so",
    ("managed-by", "cdk", True),
    ("environment", "prod", True),
    ("owner", "maria", False),
)
def test_a_tag_that_names_a_tool_or_production_protects(key: str, value: str, *, says_so: bool) -> None:
    assert tag_protects(key, value) is says_so
