"""What AWS watches of the bill: budgets with their alerts, anomalies, and who may tell the topic."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli.template.monitoring import AlarmTopic, add_budgets
from ml_janitor_cli.template.resources import StackTemplate
from synthesis import Synthesised, resolved, synthesise

MONITOR = "arn:aws:ce::123456789012:anomalymonitor/12345678-abcd-ef12-3456-987654321abc"
BILL = {
    "enabled": True,
    "monthly_budget": 80000,
    "budgets": {"project=churn": 5000.5},
    "anomaly_monitor": "create",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """Beside one detector: what a bill adds is the same beside all of them."""
    detectors = {one.name: {"enabled": one.name == "idle-notebooks"} for one in DETECTORS}
    settings = Settings.parse({"bill": BILL, "detectors": detectors})
    return synthesise(tmp_path_factory.mktemp("stack"), settings, checked=True)


def small_template(**bill: Any) -> dict[str, Any]:
    """The budgets alone."""
    template = StackTemplate("Small")
    topic = AlarmTopic(template, key=None, email="")
    add_budgets(template, Settings.parse({"bill": bill}).bill, topic)
    made: dict[str, Any] = json.loads(json.dumps(template.render()))
    return made


def small(**bill: Any) -> dict[str, Any]:
    resources: dict[str, Any] = small_template(**bill)["Resources"]
    return resources


def of_type(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in resources.values() if one["Type"] == kind]


def test_cdk_nag_and_cfn_lint_have_nothing_to_say(stack: Synthesised, tmp_path: Path) -> None:
    """cfn-lint looks at what a bill adds to the stack, of which the rest is linted by itself."""
    template = tmp_path / "Small.template.json"
    whole = small_template(**BILL)
    template.write_text(json.dumps(whole))
    plugins = stack.validation.get("pluginReports", [])
    program = Path(sys.executable).parent / "cfn-lint"
    done = subprocess.run(
        [program, "--ignore-checks", "W3005", "W3045", "--", template],
        capture_output=True,
        text=True,
        check=False,
    )

    assert {"AWS::Budgets::Budget", "AWS::CE::AnomalyMonitor"} <= {
        one["Type"] for one in whole["Resources"].values()
    }
    assert [one["ruleName"] for plugin in plugins for one in plugin["violations"]] == []
    assert (done.stdout, done.returncode) == ("", 0)


def test_each_budget_tells_the_topic_what_is_spent_and_what_is_expected(stack: Synthesised) -> None:
    (topic,) = stack.of_type("AWS::SNS::Topic")
    whole, part = (one["Budget"] for one in stack.of_type("AWS::Budgets::Budget").values())

    assert (whole["BudgetName"], part["BudgetName"]) == ("Test account", "Test project=churn")
    assert whole["BudgetLimit"] == {"Amount": 80000, "Unit": "USD"}
    assert "CostFilters" not in whole
    assert part["BudgetLimit"]["Amount"] == 5000.5
    assert part["CostFilters"] == {"TagKeyValue": ["user:project$churn"]}
    assert whole["CostTypes"] == {"IncludeCredit": False, "IncludeRefund": False, "IncludeTax": False}
    for budget in stack.of_type("AWS::Budgets::Budget").values():
        told = [
            (one["Notification"]["NotificationType"], one["Notification"]["Threshold"], one["Subscribers"])
            for one in budget["NotificationsWithSubscribers"]
        ]
        subscribers = [{"Address": {"Ref": topic}, "SubscriptionType": "SNS"}]
        assert told == [
            (kind, at, subscribers) for kind, at in (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
        ]


def test_who_watches_may_tell_the_topic_for_this_account_only(stack: Synthesised) -> None:
    (policy,) = stack.of_type("AWS::SNS::TopicPolicy").values()
    allowed = {
        one["Principal"]["Service"]: one["Condition"]
        for one in policy["PolicyDocument"]["Statement"]
        if one["Effect"] == "Allow"
    }

    own = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert allowed.keys() == {f"{one}.amazonaws.com" for one in ("budgets", "costalerts", "cloudwatch")}
    assert allowed["costalerts.amazonaws.com"] == own
    source = allowed["budgets.amazonaws.com"].pop("ArnLike")["aws:SourceArn"]
    assert resolved(source, {}) == "arn:<AWS::Partition>:budgets::<AWS::AccountId>:*"
    assert allowed["budgets.amazonaws.com"] == own


def test_a_budget_keeps_its_place_beside_new_ones_and_has_a_name_that_aws_takes() -> None:
    one = small(budgets={"team=a:b/c": 5})
    two = small(budgets={"team=a:b/c": 5, "project=x": 5})

    (budget,) = of_type(one, "AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetName"] == "Small team=a-b-c"
    assert budget["Budget"]["CostFilters"] == {"TagKeyValue": ["user:team$a:b/c"]}
    assert {name: one[name] for name in one} == {name: two[name] for name in one}


def test_an_anomaly_monitor_is_made_taken_or_left_alone() -> None:
    made = small(anomaly_monitor="create")
    taken = small(anomaly_monitor=MONITOR)

    assert len(of_type(made, "AWS::CE::AnomalyMonitor")) == 1
    assert of_type(taken, "AWS::CE::AnomalyMonitor") == []
    (subscription,) = of_type(taken, "AWS::CE::AnomalySubscription")
    assert (subscription["MonitorArnList"], subscription["Frequency"]) == ([MONITOR], "IMMEDIATE")
    assert {one["Type"] for one in small().values()} == {"AWS::SNS::Topic", "AWS::SNS::TopicPolicy"}


def test_the_alarm_on_estimated_charges_is_where_the_metric_is() -> None:
    made = small_template(monthly_budget=500)
    (found,) = (one for one in made["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm")
    alarm = found["Properties"]

    assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == (
        "AWS/Billing",
        "EstimatedCharges",
        500,
    )
    assert alarm["Dimensions"] == [{"Name": "Currency", "Value": "USD"}]
    assert made["Conditions"][found["Condition"]] == {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]}


@pytest.mark.parametrize(
    ("bill", "message"),
    [
        ({"budgets": {"projct=churn": 5}}, r'bill.budgets: "projct=churn" is not a part of a bill.*project'),
        ({"budgets": {"project": 5}}, r'"project" is not a part of a bill'),
        ({"budgets": {"team=x": 5}, "tags": {"team": ""}}, r'"team=x" is not a part of a bill'),
        ({"budgets": {"team=x": 0}}, r"dollars a month, more than 0, got 0"),
        ({"anomaly_monitor": "on"}, r'bill.anomaly_monitor: expected "off", "create" or the ARN'),
        ({"monthly_budget": -1}, r"bill.monthly_budget: expected a number that is not negative, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(bill: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Settings.parse({"bill": bill})
