"""What AWS's Cost Optimization Hub recommends, beside what an audit finds; a refusal is said."""

from __future__ import annotations

import json

import pytest

from commands import Janitor
from conftest import ACCOUNT, REGION
from lambdas import idle_endpoints
from ml_janitor_sandbox.control import Control

pytestmark = pytest.mark.usefixtures("session")

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint"
NOTHING = "nothing was found about it here"
ASKED = ("audit", "idle-endpoints", "--region", REGION, "--json", "--set", "plan.aws_opinions=true")


def recommended(arn: str | None, usd: float, **more: str) -> dict[str, object]:
    """One recommendation, as AWS lists it."""
    about = {"resourceArn": arn} if arn else {}
    return {
        "currentResourceType": "SageMakerEndpoint",
        "actionType": "Delete",
        "estimatedMonthlySavings": usd,
        "source": "ComputeOptimizer",
        **about,
        **more,
    }


@pytest.fixture
def hub(box: Control, session: object) -> Control:
    """Two idle endpoints, of which AWS knows one; another one, another kind, and a Savings Plan."""
    idle_endpoints(session, box, "a", "b")  # type: ignore[arg-type]
    box.recommend(
        [
            recommended(f"{ARN}/elsewhere", 7),
            recommended("arn:aws:ec2:us-east-1:1:instance/i", 9999, currentResourceType="Ec2Instance"),
            recommended(
                None,
                210.5,
                currentResourceType="SageMakerSavingsPlans",
                actionType="PurchaseSavingsPlans",
                source="CostExplorer",
            ),
            recommended(f"{ARN}/a", 83.95),
        ],
        deduped=250,
    )
    return box


def test_it_stands_beside_the_finding_on_the_same_resource_and_the_rest_is_noticed(
    hub: Control, janitor: Janitor
) -> None:
    without = janitor(*ASKED[:-2]).document
    assert not [call for call in hub.calls() if call.startswith("cost-optimization-hub")]

    document = janitor(*ASKED).document

    said = {
        one["name"]: [seen["value"] for seen in one["evidence"] if "Hub" in seen["signal"]]
        for one in document["results"]
    }
    assert said == {"a": ["Delete, $83.95 a month, says ComputeOptimizer"], "b": []}
    assert document["totals"] == without["totals"]
    notices = document["sweeps"][0]["notices"]
    assert [one.partition("recommends for ")[2] for one in notices[-3:-1]] == [
        f"{ARN}/elsewhere: Delete, $7.00 a month, says ComputeOptimizer; {NOTHING}",
        f"SageMakerSavingsPlans: PurchaseSavingsPlans, $210 a month, says CostExplorer; {NOTHING}",
    ]
    assert "counts $250 a month for SageMaker together: in no sum here" in notices[-1]
    assert "9,999" not in json.dumps(document)


def test_an_account_that_is_not_enrolled_is_said_and_the_audit_is_whole(
    box: Control, session: object, janitor: Janitor
) -> None:
    idle_endpoints(session, box, "a")  # type: ignore[arg-type]

    ran = janitor(*ASKED)

    assert ran.status == 0
    (notice,) = ran.document["sweeps"][0]["notices"]
    assert "could not be read (ListRecommendations: AccessDeniedException" in notice
    assert "set plan.aws_opinions to false" in notice
    assert [one["name"] for one in ran.document["results"]] == ["a"]


def test_the_policy_for_an_audit_allows_it_only_where_it_is_asked_for(janitor: Janitor) -> None:
    policy = ("doctor", "--policy", "idle-endpoints", "--region", REGION)

    assert "cost-optimization-hub" not in janitor(*policy).out
    assert '"cost-optimization-hub:ListRecommendations"' in janitor(*policy, *ASKED[-2:]).out
