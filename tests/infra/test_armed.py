"""What a template has in which detectors are armed; what its roles hold, `test_declared.py` compares."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.receiver import MEMORY
from conftest import ACCOUNT
from declared import listed
from ml_janitor.config.member_roles import is_changing_action, tag_spellings
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from synthesis import BUTTONS, TO_ACT, TO_ARM, TODAY, Synthesised, resolved, synthesise, synthesise_with_cdk

ARMS = {"mode": "act", "act_in": [f"{ACCOUNT}/eu-west-1"]}
PERMANENT = {
    "s3:DeleteObjectVersion",
    "s3:DeleteBucket",
    "s3:PutLifecycleConfiguration",
    "kms:ScheduleKeyDeletion",
}

ACTORS = [detector.name for detector in DETECTORS if detector.cleanup is not None]


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """The stack in which all that can act is armed; it is checked, which takes long."""
    sections = {name: {**ARMS, **TO_ACT.get(name, {})} for name in ACTORS}
    tables = {"janitor": BUTTONS, "detectors": sections}
    return synthesise(tmp_path_factory.mktemp("armed"), Settings.parse(tables), checked=True)


@pytest.fixture(scope="module")
def unarmed(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    tables = {"janitor": BUTTONS, "detectors": alone("idle-notebooks", {})}
    return synthesise(tmp_path_factory.mktemp("unarmed"), Settings.parse(tables))


def alone(name: str, section: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The tables where one detector alone is deployed: such a stack is made in a fraction of the time."""
    return {one.name: section if one.name == name else {"enabled": False} for one in DETECTORS}


def construct(name: str) -> str:
    return next(detector.__name__ for detector in DETECTORS if detector.name == name)


def roles(stack: Synthesised) -> dict[str, Any]:
    """The policies of every role, by logical id."""
    return {name: policy["PolicyDocument"] for name, policy in stack.of_type("AWS::IAM::Policy").items()}


def test_each_key_has_its_signers_and_verifiers_and_they_alone_are_told_its_name(armed: Synthesised) -> None:
    acting = {construct(name) for name in ACTORS}
    readers = {*acting, "Undo", "SlackWorker", "Digest"}
    for variable, beginning, output, signers, verifiers in (
        ("JANITOR_UNDO_KEY", "UndoRecordKey", "UndoKey", acting, readers),
        ("JANITOR_PROGRESS_KEY", "UndoProgressKey", "ProgressKey", {"Undo"}, readers),
        ("JANITOR_REQUESTS_KEY", "RequestKey", "RequestsKey", {*acting, "SlackWorker"}, readers - {"Digest"}),
    ):
        (key,) = (name for name in armed.of_type("AWS::KMS::Key") if name.startswith(beginning))
        holders = {
            (role.partition("Role")[0], action.removeprefix("kms:"))
            for role, statement in armed.statements()
            if "Role" in role and {"Fn::GetAtt": [key, "Arn"]} in listed(statement["Resource"])
            for action in listed(statement["Action"])
        }
        told = {
            logical.partition("Function")[0]
            for logical, function in armed.of_type("AWS::Lambda::Function").items()
            if function["Environment"]["Variables"].get(variable) == {"Fn::GetAtt": [key, "Arn"]}
        }
        sign, verify = (
            {(who, action) for who in those}
            for action, those in (("GenerateMac", signers), ("VerifyMac", verifiers))
        )
        assert holders == sign | verify, variable
        assert told == signers | verifiers, variable
        assert armed.template["Outputs"][output]["Value"] == {"Fn::GetAtt": [key, "Arn"]}


def test_the_key_of_undo_records_outlives_the_stack_and_is_there_unarmed(unarmed: Synthesised) -> None:
    resources = unarmed.template["Resources"].values()
    (key,) = (
        one
        for one in resources
        if one["Type"] == "AWS::KMS::Key" and one["Properties"].get("KeyUsage") == "GENERATE_VERIFY_MAC"
    )

    assert (key["DeletionPolicy"], key["Properties"]["KeySpec"]) == ("Retain", "HMAC_256")
    assert "EnableKeyRotation" not in key["Properties"]


def test_the_buttons_of_advice_need_nothing_armed(unarmed: Synthesised) -> None:
    """The function behind them may remember, and invoke nothing."""
    functions = unarmed.of_type("AWS::Lambda::Function")
    (worker,) = (one for logical, one in functions.items() if logical.startswith("SlackWorker"))

    assert worker["Environment"]["Variables"]["JANITOR_FUNCTIONS"] == "{}"
    assert "JANITOR_UNDO" not in worker["Environment"]["Variables"]
    granted = json.dumps([one for name, one in roles(unarmed).items() if name.startswith("SlackWorker")])
    assert "lambda:InvokeFunction" not in granted


def test_every_sign_between_the_words_of_a_keep_tag_is_denied() -> None:
    assert tag_spellings(["keep"]) == ["keep"]
    assert tag_spellings(["Do-Not_Touch"]) == ["Do-Not-Touch", "Do_Not_Touch", "Do:Not:Touch"]
    assert tag_spellings(["a:b", "a-b"]) == ["a:b", "a-b", "a_b"]


def test_each_tag_is_added_under_its_own_condition_and_only_required_ones_removed(tmp_path: Path) -> None:
    fill = {"environment": "unknown", "cost-center": "none"}
    section = {**ARMS, "fill_tags": fill, "fill_owner": True}
    tables = {"janitor": BUTTONS, "detectors": alone("untagged-resources", section)}
    stack = synthesise(tmp_path, Settings.parse(tables))

    acts = stack.role_statements("UntaggedResourcesRole")
    adding = [one for one in acts if "sagemaker:AddTags" in one["Action"] and one["Effect"] == "Allow"]
    assert len(adding) == 3
    assert sorted((one["Condition"] for one in adding), key=str) == [
        {
            "ForAllValues:StringEquals": {"aws:TagKeys": [key]},
            "Null": {"aws:TagKeys": ["false"], f"aws:ResourceTag/{key}": ["true"]},
        }
        for key in ("cost-center", "environment", "owner")
    ]
    removing = [one for name, one in stack.statements() if "sagemaker:DeleteTags" in one["Action"]]
    required = ["team", "project", "environment", "cost-center", "owner", "managed-by"]
    assert [one["Condition"] for one in removing] == [
        {"ForAllValues:StringEquals": {"aws:TagKeys": required}, "Null": {"aws:TagKeys": ["false"]}}
    ]


def test_what_an_armed_detector_would_miss_is_named_by_the_synthesis(tmp_path: Path) -> None:
    section = {
        "mode": "act",
        "act_in": [f"{ACCOUNT}/eu-west-1", f"{ACCOUNT}/eu-west-3"],
        "schedule": "cron(0 3 * * ? *)",
        "stop_outside_hours": ["team-*"],
    }
    janitor = {**BUTTONS, "regions": ["eu-west-1"]}

    stack = synthesise_with_cdk(
        tmp_path, Settings.parse({"janitor": janitor, "detectors": alone("idle-notebooks", section)})
    )

    said = [text for rule, text in stack.violations if "never-acts" in rule or "no-notice" in rule]
    assert ["may not run then on Mon" in one for one in said if "stop_outside_hours" in one] == [True]
    said = [one for one in said if "stop_outside_hours" not in one]
    assert [f"would never act in {ACCOUNT}/eu-west-3: only eu-west-1 is swept" in one for one in said] == [
        True
    ]


def test_nobody_can_delete_for_good(armed: Synthesised) -> None:
    """But by lifecycle rules, of the buckets that the operator names."""
    rules = []
    for name, statement in armed.statements():
        if statement["Effect"] == "Allow" and "KeyPolicy" not in statement:
            powers = PERMANENT & set(listed(statement["Action"]))
            rules += [(name, statement["Resource"])] if powers == {"s3:PutLifecycleConfiguration"} else []
            assert powers <= {"s3:PutLifecycleConfiguration"}, name

    assert sorted(name.partition("Role")[0] for name, _ in rules) == ["StorageTiering", "Undo"]
    assert all(json.dumps(on).endswith((':s3:::acme-scratch"', ':s3:::acme-scratch"]]}')) for _, on in rules)


def test_no_role_may_be_passed_but_those_that_are_listed(armed: Synthesised, tmp_path: Path) -> None:
    assert "iam:PassRole" not in json.dumps(roles(armed))

    role = f"arn:aws:iam::{ACCOUNT}:role/ml-training"
    tables = {
        "janitor": {**BUTTONS, "undo_roles": [role]},
        "detectors": alone("hung-training-jobs", ARMS) | {"idle-endpoints": ARMS},
    }
    stack = synthesise(tmp_path, Settings.parse(tables))
    passing = {
        name: one["Resource"]
        for name, policy in roles(stack).items()
        for one in policy["Statement"]
        if "iam:PassRole" in one["Action"]
    }
    ((name, resource),) = passing.items()
    assert name.startswith("Undo")
    assert json.dumps(resource).endswith(f':iam::{ACCOUNT}:role/ml-training"]]}}')


def test_undo_powers_outlive_the_arms_for_undo_days(tmp_path: Path) -> None:
    def functions(armed_until: str) -> set[str]:
        section = {"act_in": [ACCOUNT], "armed_until": armed_until}
        settings = Settings.parse({"janitor": BUTTONS, "detectors": alone("idle-notebooks", section)})
        stack = synthesise(tmp_path / armed_until, settings)
        return {name[:4] for name in stack.of_type("AWS::Lambda::Function")}

    assert "Undo" in functions("2026-09-06")
    assert "Undo" not in functions("2026-09-05")
    assert TODAY.isoformat() == "2026-10-06"


def test_a_disarmed_detector_can_still_have_what_it_did_brought_back_and_nothing_else(tmp_path: Path) -> None:
    section = {"armed_until": "2026-09-06"}
    settings = Settings.parse({"janitor": BUTTONS, "detectors": alone("idle-notebooks", section)})

    stack = synthesise(tmp_path, settings)

    changing = [
        (action, statement["Resource"])
        for statement in stack.role_statements("IdleNotebooksRole")
        for action in listed(statement["Action"])
        if is_changing_action(action) and action.partition(":")[0] in {"sagemaker", "lambda"}
    ]
    (undo,) = [name for name in stack.of_type("AWS::Lambda::Function") if name.startswith("Undo")]
    assert changing == [("lambda:InvokeFunction", {"Fn::GetAtt": [undo, "Arn"]})]
    functions = stack.of_type("AWS::Lambda::Function").items()
    (function,) = [one for name, one in functions if name.startswith("IdleNotebooks")]
    assert function["Environment"]["Variables"]["JANITOR_UNDO"] == {"Ref": undo}
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    assert {"ActionsFailed", "HeldBack", "RecordsRefused"} <= {alarm.get("MetricName") for alarm in alarms}


def test_what_can_act_leaves_the_advisers_once_it_is_armed_and_stays_apart_afterwards(tmp_path: Path) -> None:
    armed: dict[str, Any] = {**ARMS, "act_on_buckets": ["acme"]}
    before: list[dict[str, Any]] = [{"armed_until": f"{year}-10-01"} for year in (2026, 2020)]
    for number, section in enumerate([{}, armed, *before]):
        tables = {"janitor": BUTTONS, "detectors": alone("storage-tiering", section)}
        stack = synthesise(tmp_path / str(number), Settings.parse(tables))
        own = {name[:-16] for name in stack.of_type("AWS::Lambda::Function")} & {"Advisers", "StorageTiering"}
        assert own == {"StorageTiering" if section else "Advisers"}


def places_of(stack: Synthesised, role: str, action: str) -> set[str]:
    """The accounts and regions in which a role may do *action*, as `act_in` writes them."""
    return {
        "/".join(_plain(arn).split(":")[3:5][::-1])
        for statement in stack.role_statements(role)
        if statement["Effect"] == "Allow" and action in listed(statement["Action"])
        for arn in listed(statement["Resource"])
    }


@pytest.mark.parametrize(
    ("section", "places"),
    [
        pytest.param(
            {"mode": "act", "act_in": [f"{ACCOUNT}/eu-west-1"]},
            [f"{ACCOUNT}/eu-west-1", f"{ACCOUNT}/us-east-1"],
            id="a region taken out of act_in",
        ),
        pytest.param(
            {"mode": "act", "act_in": [f"{ACCOUNT}/eu-west-3"]},
            [f"{ACCOUNT}/eu-west-1", f"{ACCOUNT}/us-east-1", f"{ACCOUNT}/eu-west-3"],
            id="a region that is swept no more",
        ),
        pytest.param(
            {"act_in": [], "armed_until": "2026-09-06"},
            ["<AWS AccountId>/eu-west-1", "<AWS AccountId>/us-east-1"],
            id="disarmed, and act_in emptied",
        ),
        pytest.param(
            {"mode": "act", "act_in": ["210987654321/eu-west-1"]},
            ["210987654321/eu-west-1", "210987654321/us-east-1"],
            id="armed in another account only",
        ),
    ],
)
def test_undo_roles_cover_former_regions(tmp_path: Path, section: dict[str, Any], places: list[str]) -> None:
    janitor = {**BUTTONS, "regions": ["eu-west-1", "us-east-1"]}
    settings = Settings.parse({"janitor": janitor, "detectors": alone("idle-notebooks", section)})

    stack = synthesise(tmp_path, settings)

    assert places_of(stack, "UndoRole", "sagemaker:StartNotebookInstance") == set(places)
    acting = places_of(stack, "IdleNotebooksRole", "sagemaker:StopNotebookInstance")
    assert acting == set(section["act_in"])


def test_slack_is_heard_by_a_function_that_can_only_pass_it_on(armed: Synthesised) -> None:
    (url,) = armed.of_type("AWS::Lambda::Url").values()

    assert url["AuthType"] == "NONE"
    assert "SlackReceiver" not in str(armed.of_type("AWS::Lambda::EventInvokeConfig"))
    assert [name for name in armed.of_type("AWS::SQS::Queue") if name.startswith("SlackReceiver")] == []
    (receiver,) = (
        one
        for one in armed.of_type("AWS::Lambda::Function").values()
        if one["Handler"] == "ml_janitor.handlers.interact"
    )
    assert receiver["MemorySize"] == MEMORY, "bench/receiver.py scales by what the stack gives it"
    assert receiver["ReservedConcurrentExecutions"] == 5, "a flood takes no more of the account than that"


def test_a_small_account_reserves_nothing_for_slack(tmp_path: Path) -> None:
    settings = Settings.parse(
        {"janitor": {**BUTTONS, "slack_concurrency": 0}, "detectors": alone("idle-notebooks", ARMS)}
    )

    functions = synthesise(tmp_path, settings).of_type("AWS::Lambda::Function").values()

    assert functions
    assert not any("ReservedConcurrentExecutions" in one for one in functions)


REGIONS = [
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
    *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
]
"""Those that an account has without asking."""


@pytest.mark.parametrize(("number", "arms"), [(len(REGIONS), {}), (10, {"mode": "act", "act_in": [ACCOUNT]})])
def test_roles_for_many_regions_fit_iams_quotas(tmp_path: Path, number: int, arms: dict[str, Any]) -> None:
    """6,144 characters a managed policy and 10,240 inline, without white space, and 10 policies a role."""
    sections = {name: {**arms, **(TO_ACT.get(name, {}) if arms else {})} for name in ACTORS}
    tables = {"janitor": {**BUTTONS, "regions": REGIONS[:number]}, "detectors": sections}

    stack = synthesise(tmp_path, Settings.parse(tables))

    managed = stack.of_type("AWS::IAM::ManagedPolicy")
    for name, policy in {**stack.of_type("AWS::IAM::Policy"), **managed}.items():
        longest = 6_144 if name in managed else 10_240
        assert written(policy["PolicyDocument"]) <= longest, name
    assert max(Counter(str(policy["Roles"]) for policy in managed.values()).values()) <= 10


def test_who_sends_events_and_mails_may_do_so_on_the_one_bus_and_topic(
    armed: Synthesised, tmp_path: Path
) -> None:
    topic = f"arn:<AWS::Partition>:sns:eu-west-1:{ACCOUNT}:ml-costs"
    tables = {
        "janitor": TO_ARM,
        "notify": {"email": topic.replace("<AWS::Partition>", "aws"), "events": "ml"},
        "bill": {"enabled": True},
        "detectors": alone("idle-notebooks", ARMS) | {"spot-training": {}, "idle-endpoints": {}},
    }

    def allowed(stack: Synthesised) -> dict[str, set[tuple[str, str]]]:
        found: dict[str, set[tuple[str, str]]] = {}
        for name, statement in stack.statements():
            for action in listed(statement["Action"]):
                if action.partition(":")[0] in {"events", "sns"} and "Principal" not in statement:
                    where = {(action, resolved(arn, {})) for arn in listed(statement["Resource"])}
                    found.setdefault(name.partition("Role")[0], set()).update(where)
        return found

    bus = ("events:PutEvents", "arn:<AWS::Partition>:events:<AWS::Region>:<AWS::AccountId>:event-bus/ml")
    assert allowed(synthesise(tmp_path, Settings.parse(tables))) == {
        "IdleNotebooks": {bus, ("sns:Publish", topic), ("sns:ListSubscriptionsByTopic", topic)},
        "Digest": {bus, ("sns:Publish", topic)},
        **{name: {bus} for name in ("Advisers", "Bill", "IdleEndpoints", "Undo")},
    }
    assert allowed(armed) == {}


def written(document: Any) -> int:
    """How long a policy is, in a partition and region with long names."""
    known = {"AWS::Partition": "aws-us-gov", "AWS::AccountId": ACCOUNT, "AWS::Region": "ap-northeast-1"}
    return len(json.dumps(resolved(document, known), separators=(",", ":")))


def test_the_synthesis_of_a_fully_armed_stack_has_nothing_to_say(armed: Synthesised) -> None:
    assert {rule for rule, _ in armed.violations} <= {"janitor:never-acts"}


def _plain(arn: Any) -> str:
    """An ARN with its pseudo parameters in angle brackets, and without their colons."""
    if isinstance(arn, str):
        return arn
    parts = arn["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else f"<{part['Ref'].replace('::', ' ')}>" for part in parts)
