"""Studio apps: listed, described, found again, tagged like what they stand in, and their own idle times."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from conftest import ACCOUNT, MINUTE, NOW, REGION, SECOND
from fakes import target_at
from ml_janitor.aws.calls import ReadError
from ml_janitor.aws.descriptions import KeptDescriptions
from ml_janitor.aws.studio_apps import (
    CODE_EDITOR,
    DESCRIBE_DOMAIN,
    DESCRIBE_PROFILE,
    DESCRIBE_SPACE,
    StudioApp,
    add_app_tags,
    deciding_level,
    describe_apps,
    describe_places,
    find_app_again,
    fresh_idle_time,
    idle_time_text,
    inherit_tags,
    janitor_idle_metric,
    list_apps,
    merge_apps,
    read_app_tags,
    read_idle_times,
    read_written_streams,
    shutdown_layer,
    shutdown_timeout,
)
from ml_janitor.core.model import Absent, NotRead, Signal, Unreadable, Value
from narrowing import of_type
from scripted import DENIED, Refusal, Script, Torn
from tables import cases

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
LIST, DESCRIBE, SPACES = "sagemaker:ListApps", "sagemaker:DescribeApp", "sagemaker:ListSpaces"
BULK, ONE = "resourcegroupstaggingapi:GetResources", "sagemaker:ListTags"
DENIAL = "AccessDeniedException: denied"


def entry(name: str = "default", **more: Any) -> dict[str, Any]:
    whole = {
        "DomainId": "d-1",
        "UserProfileName": "anna",
        "AppType": "CodeEditor",
        "AppName": name,
        "Status": "InService",
        "CreationTime": NOW - DAY,
        "ResourceSpec": {"InstanceType": "ml.g5.xlarge"},
    } | more
    return {key: value for key, value in whole.items() if value is not None}


def in_space(**more: Any) -> dict[str, Any]:
    return entry(UserProfileName=None, SpaceName="desk", **more)


def app(one: Mapping[str, Any] | None = None) -> StudioApp:
    (found,) = list_apps(Script({LIST: {"Apps": [one or entry()]}}).aws()).items
    return found


# --- listed and described -----------------------------------------------------------------------


def test_an_app_is_known_by_its_owner_type_and_name() -> None:
    account = Script({LIST: [{"Apps": [entry()]}, {"Apps": [in_space(ResourceSpec=None)]}]})

    own, space = list_apps(account.aws(), DomainIdEquals="d-1").items

    assert (own.target.arn, own.target.name) == (
        f"{ARN}:app/d-1/anna/codeeditor/default",
        "anna/CodeEditor/default",
    )
    assert (own.owner, own.profile, own.space, own.app_name) == ("anna", "anna", None, "default")
    assert (own.target.created, own.started, own.instance_type) == (NOW - DAY, NOW - DAY, "ml.g5.xlarge")
    assert (own.stream, own.reserved) == ("d-1/anna/CodeEditor/default", False)
    named = {"DomainId": "d-1", "AppType": "CodeEditor", "AppName": "default"}
    assert own.key == named | {"UserProfileName": "anna"}
    assert (space.owner, space.profile, space.instance_type) == ("desk", None, None)
    assert space.key == named | {"SpaceName": "desk"}
    assert account.asked(LIST)[0] == {"DomainIdEquals": "d-1", "MaxResults": 100}
    plan = {"InstanceType": "ml.p4d.24xlarge", "TrainingPlanArn": f"{ARN}:training-plan/p"}
    assert app(entry(ResourceSpec=plan)).reserved


def test_what_its_log_says_is_known_of_all_but_canvas() -> None:
    written = {"d-1/anna/codeeditor/default": NOW, "d-1/anna/canvas/default": NOW}

    assert app().wrote(written).log == Value(NOW, "logs:DescribeLogStreams", NOW)
    assert app(entry(AppType="Canvas")).wrote(written).log == NotRead()
    assert app(entry("other")).wrote(written).log == NotRead()


def test_a_space_has_a_log_stream_for_each_spelling_of_its_name() -> None:
    streams = [
        {"logStreamName": f"d-1/{name}/CodeEditor/default", "lastEventTimestamp": int(at.timestamp()) * 1000}
        for name, at in (("DESK", NOW), ("Desk", NOW - DAY), ("desks", NOW - DAY))
    ]
    script = Script({"logs:DescribeLogStreams": {"logStreams": streams}})
    written = of_type(Value, read_written_streams(script.aws(), NOW - 2 * DAY))

    assert written.value == {"d-1/desk/codeeditor/default": NOW, "d-1/desks/codeeditor/default": NOW - DAY}
    space = app(entry(UserProfileName=None, SpaceName="Desk"))
    assert space.wrote(written.value).log == Value(NOW, "logs:DescribeLogStreams", NOW)


CHECKED = NOW - HOUR


@cases(
    "active, checked, activity",
    (NOW - 2 * HOUR, CHECKED, Value(NOW - 2 * HOUR, DESCRIBE, NOW - 2 * HOUR)),
    (NOW, CHECKED, Value(NOW, DESCRIBE, NOW)),
    (CHECKED, CHECKED, Absent(DESCRIBE)),
    (None, CHECKED, Absent(DESCRIBE)),
    (NOW, None, Absent(DESCRIBE)),
)
def test_a_health_check_is_no_activity(active: Any, checked: Any, activity: Signal[Any]) -> None:
    answer = {"AppArn": "as AWS wrote it", "Status": "Pending"}
    answer |= {"LastUserActivityTimestamp": active} if active else {}
    answer |= {"LastHealthCheckTimestamp": checked} if checked else {}

    (found,) = describe_apps(Script({DESCRIBE: answer}).aws(), [app()])

    assert (found.activity, found.checked) == (activity, checked)
    assert (found.arn, found.status, found.instance_type) == ("as AWS wrote it", "Pending", "ml.g5.xlarge")


def test_a_description_says_what_it_runs_on() -> None:
    plan = {"InstanceType": "ml.p4d.24xlarge", "TrainingPlanArn": f"{ARN}:training-plan/p"}
    answer = {"AppArn": "arn", "Status": "InService", "ResourceSpec": plan}

    (found,) = describe_apps(Script({DESCRIBE: answer}).aws(), [app()])
    (still,) = describe_apps(
        Script({DESCRIBE: {"AppArn": "arn", "Status": "InService"}}).aws(), [app(entry(ResourceSpec=plan))]
    )

    assert [(one.instance_type, one.reserved) for one in (found, still)] == [("ml.p4d.24xlarge", True)] * 2


@cases(
    "answer, status, activity",
    (DENIED, "InService", Unreadable(f"DescribeApp: {DENIAL}", DESCRIBE)),
    (Torn({"AppArn": "arn"}), "InService", Unreadable("the answer has no Status", DESCRIBE)),
    (Refusal("ResourceNotFound"), "Deleted", NotRead()),
)
def test_an_app_that_cannot_be_described(answer: Any, status: str, activity: Signal[Any]) -> None:
    (found,) = describe_apps(Script({DESCRIBE: answer}).aws(), [app()])

    assert (found.status, found.activity) == (status, activity)


def test_an_app_is_found_again_by_its_creation_time_else_the_newest_that_is_there() -> None:
    older = entry(CreationTime=NOW - 9 * DAY, Status="Deleted")
    again = entry(CreationTime=NOW - 3 * DAY)
    latest = entry(CreationTime=NOW - DAY, Status="Deleted")
    account = Script({LIST: [{"Apps": [older, again]}, {"Apps": [latest, entry("other")]}]})
    aws, target = account.aws(), app().target

    def started(created: timedelta | None) -> timedelta:
        at = None if created is None else NOW - created
        found = find_app_again(
            aws, target_at(target.arn.partition(f"{ACCOUNT}:")[2].upper().replace("D-1", "d-1"), at)
        )
        assert found is not None
        return NOW - found.started

    assert [started(age) for age in (9 * DAY, 3 * DAY, DAY, None)] == [9 * DAY, 3 * DAY, DAY, 3 * DAY]
    assert account.asked(LIST)[0]["DomainIdEquals"] == "d-1"
    assert find_app_again(aws, target_at("app/d-1/anna/codeeditor/none")) is None
    with pytest.raises(ReadError, match="ListApps broke off"):
        find_app_again(Script({LIST: DENIED}).aws(), target)
    broken = Script({LIST: [{"Apps": [again]}, DENIED]})
    assert find_app_again(broken.aws(), target) is not None


def test_what_was_read_again_takes_its_place() -> None:
    one, two = app(entry("one")), app(entry("two"))
    (newer,) = describe_apps(Script({DESCRIBE: {"AppArn": "arn", "Status": "Failed"}}).aws(), [two])

    assert merge_apps([one, two], [newer]) == [one, newer]


# --- tags ---------------------------------------------------------------------------------------


def tagged(path: str, **tags: str) -> dict[str, Any]:
    return {
        "ResourceARN": f"{ARN}:{path}",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def space(owner: str | None = "anna", domain: str = "d-1") -> dict[str, Any]:
    owned = {"OwnershipSettingsSummary": {"OwnerUserProfileName": owner}} if owner else {}
    return {"DomainId": domain, "SpaceName": "desk"} | owned


def test_an_app_has_the_tags_of_its_space_and_of_the_profile_that_owns_it() -> None:
    account = Script(
        {
            LIST: {"Apps": [in_space(), entry("own")]},
            SPACES: [{"Spaces": [space("maria", "d-2")]}, {"Spaces": [space()]}],
            BULK: {
                "ResourceTagMappingList": [
                    tagged("app/d-1/desk/codeeditor/default", keep="false", a="app"),
                    tagged("space/d-1/desk", a="space", b="space"),
                    tagged("user-profile/d-1/anna", a="profile", b="profile", c="profile"),
                    tagged("user-profile/d-2/maria", d="other"),
                ]
            },
        }
    )
    aws = account.aws()

    both = add_app_tags(aws, list_apps(aws).items)

    assert [one.profile for one in both] == ["anna", "anna"]
    source = "tag:GetResources"
    assert [one.target.tags for one in both] == [
        Value({"keep": "false", "a": "app", "b": "space", "c": "profile"}, source),
        Value({"a": "profile", "b": "profile", "c": "profile"}, source),
    ]
    assert [dict(one.inherited) for one in both] == [
        {"space": ("b",), "user profile": ("c",)},
        {"user profile": ("a", "b", "c")},
    ]
    wanted = ["sagemaker:app", "sagemaker:space", "sagemaker:user-profile"]
    assert account.asked(BULK)[0]["ResourceTypeFilters"] == wanted


def test_a_shared_space_has_no_profile_and_spaces_are_listed_only_for_apps_in_one() -> None:
    answers: dict[str, Any] = {LIST: {"Apps": [in_space()]}, BULK: {"ResourceTagMappingList": []}}
    account = Script(answers | {SPACES: {"Spaces": [space(None)]}})
    aws = account.aws()

    (shared,) = add_app_tags(aws, list_apps(aws).items)

    assert (shared.profile, shared.target.tags) == (None, Value({}, "tag:GetResources"))
    add_app_tags(Script(answers).aws(), [app()])  # which lists no space


@pytest.mark.parametrize("broken", [SPACES, BULK])
def test_where_one_of_them_cannot_be_read_no_tag_counts_as_read(broken: str) -> None:
    answers: dict[str, Any] = {
        LIST: {"Apps": [in_space()]},
        SPACES: {"Spaces": [space()]},
        BULK: {"ResourceTagMappingList": [tagged("app/d-1/desk/codeeditor/default", a="b")]},
    }
    aws = Script(answers | {broken: DENIED}).aws()

    (found,) = add_app_tags(aws, list_apps(aws).items)

    assert broken.partition(":")[2] in of_type(Unreadable, found.target.tags).error


def test_the_tags_of_one_are_read_as_they_are_now() -> None:
    def tags(asked: Mapping[str, Any]) -> Any:
        return {"Tags": [{"Key": asked["ResourceArn"].rpartition(":")[2].partition("/")[0], "Value": "x"}]}

    account = Script({SPACES: {"Spaces": [space()]}, ONE: tags})
    (one,) = describe_apps(
        Script({DESCRIBE: {"AppArn": f"{ARN}:app/as-it-is", "Status": "InService"}}).aws(), [app(in_space())]
    )

    found = read_app_tags(account.aws(), one)

    assert found.target.tags == Value({"app": "x", "space": "x", "user-profile": "x"}, ONE)
    assert [asked["ResourceArn"] for asked in account.asked(ONE)] == [
        f"{ARN}:app/as-it-is", f"{ARN}:space/d-1/desk", f"{ARN}:user-profile/d-1/anna",
    ]  # fmt: skip
    assert account.asked(SPACES)[0]["DomainIdEquals"] == "d-1"
    own = Script({ONE: tags})
    assert read_app_tags(own.aws(), app()).target.tags == Value({"app": "x", "user-profile": "x"}, ONE)
    assert own.asked(ONE)[0]["ResourceArn"] == app().target.arn
    assert isinstance(read_app_tags(Script({ONE: DENIED}).aws(), app()).target.tags, Unreadable)


@cases(
    "near, far, value",
    (None, "true", "true"),
    ("2026-10-01", "2026-11-01", "2026-11-01"),
    ("2026-11-01", "2026-10-01", "2026-11-01"),
    ("2026-11-01", "2026-11-01", "2026-11-01"),
    ("2026-11-01", "forever", "forever"),
    ("no", "TRUE", "TRUE"),
    (" No ", "2026-11-01", "2026-11-01"),
    ("no", "false", "no"),
    ("yes", " True ", " True "),
    ("true", "2026-11-01", "true"),
    (" TRUE ", "true", " TRUE "),
    ("yes", "2026-11-01", "yes"),
)
def test_the_nearer_value_holds_unless_the_other_is_longer(near: str | None, far: str, value: str) -> None:
    tags, inherited = inherit_tags({} if near is None else {"keep": near}, {"space": {"keep": far}})

    assert tags == {"keep": value}
    assert inherited == ({"space": ("keep",)} if value != near else {})


@cases(
    "key, value, taken",
    ("aws:cloudformation:stack-name", "web", False),
    ("AWS:x", "y", False),
    ("Managed By", "maria", False),
    ("terraform", "true", False),
    ("team", "fraud", True),
)
def test_what_says_how_a_space_is_managed_says_nothing_of_its_apps(key: str, value: str, taken: bool) -> None:  # noqa: FBT001
    assert (inherit_tags({}, {"space": {key: value}})[0] == {key: value}) is taken


# --- idle shutdown ------------------------------------------------------------------------------


def said(member: str, idle: Mapping[str, Any], kind: str = "CodeEditor") -> Any:
    return {member: {f"{kind}AppSettings": {"AppLifecycleManagement": {"IdleSettings": idle}}}}


ON, OFF, SOON = (
    {"LifecycleManagement": "ENABLED"},
    {"LifecycleManagement": "DISABLED"},
    {"IdleTimeoutInMinutes": 60},
)
DOMAIN, SPACE, USER = "DefaultUserSettings", "SpaceSettings", "UserSettings"


@cases(
    "above, expected",
    ([said(DOMAIN, ON | SOON)], HOUR),
    ([said(DOMAIN, OFF | SOON)], None),
    ([said(DOMAIN, SOON)], HOUR),
    ([said(DOMAIN, {})], None),
    ([{}], None),
    ([said(DOMAIN, ON | SOON, "JupyterLab")], None),
    ([said(DOMAIN, ON | SOON), said(USER, OFF)], None),
    ([said(DOMAIN, OFF | SOON), said(USER, ON)], HOUR),
    ([said(DOMAIN, ON | SOON), said(USER, {"IdleTimeoutInMinutes": 120})], 2 * HOUR),
    ([said(DOMAIN, ON | {"IdleTimeoutInMinutes": 120}), said(USER, {}), said(SPACE, SOON)], HOUR),
)
def test_the_nearest_value_decides_on_stopping(above: Sequence[Any], expected: timedelta | None) -> None:
    signals = [Value(one, f"call {number}") for number, one in enumerate(above)]
    source = f"call {len(above) - 1}"

    found = shutdown_timeout("CodeEditor", signals, shared=False)

    assert found == (Absent(source) if expected is None else Value(expected, source))


def test_what_was_not_described_leaves_it_open() -> None:
    whole: Signal[Any] = Value(said(DOMAIN, ON))

    unread = shutdown_timeout("CodeEditor", [whole, Unreadable("denied")], shared=False)

    assert unread == Unreadable("denied")
    denied_first = shutdown_timeout("CodeEditor", [unread, whole], shared=False)
    assert denied_first == Unreadable("denied")
    assert shutdown_timeout("CodeEditor", [NotRead()], shared=False) == Unreadable("it was not described")
    assert isinstance(shutdown_timeout("CodeEditor", [whole], shared=False), Unreadable)


def test_a_shared_space_has_the_domains_settings_for_spaces() -> None:
    both = said("DefaultSpaceSettings", OFF) | said(DOMAIN, ON | SOON)

    assert [shutdown_layer("CodeEditor", both, shared=shared).on for shared in (True, False)] == [False, True]
    assert shutdown_layer("CodeEditor", both, shared=False).timeout == HOUR
    assert shutdown_layer("CodeEditor", said(SPACE, ON) | said(USER, OFF), shared=False).on is True
    assert shutdown_layer("CodeEditor", said(DOMAIN, {}), shared=False).on is None


@cases(
    "kind, shared, above, number",
    ("CodeEditor", False, [ON | SOON], None),
    ("CodeEditor", False, [ON | {"IdleTimeoutInMinutes": 61}], 0),
    ("CodeEditor", False, [ON | SOON, {"IdleTimeoutInMinutes": 61}, {}], 1),
    ("CodeEditor", False, [OFF, {}, OFF], 2),
    ("CodeEditor", False, [{}, {}, {}], 0),
    ("CodeEditor", True, [{}, {}], 1),
    ("JupyterLab", True, [{}, {}], 0),
    ("CodeEditor", True, [{}, OFF, {}], 1),
)
def test_a_level_keeps_an_app(*, kind: str, shared: bool, above: Sequence[Any], number: int | None) -> None:
    members = ["DefaultSpaceSettings" if shared else DOMAIN, USER, SPACE]
    signals = [Value(said(member, idle, kind)) for member, idle in zip(members, above, strict=False)]

    assert deciding_level(kind, signals, HOUR, shared=shared) == number


ROLE = {"ExecutionRole": "r" * 20}
CODE = {"AppType": "CodeEditor"}


@cases(
    "source, answer, request_, settings",
    (DESCRIBE_DOMAIN, {DOMAIN: ROLE}, {}, DOMAIN),
    (DESCRIBE_PROFILE, {USER: ROLE}, {"UserProfileName": "desk"}, USER),
    (DESCRIBE_SPACE, {SPACE: CODE}, {"SpaceName": "desk"}, SPACE),
)
def test_each_place_is_described_once(source: str, answer: Any, request_: Any, settings: str) -> None:
    account = Script({source: answer | {"DomainId": "d-1"}})
    place = ("d-1", "desk")

    def described_by(script: Script) -> Any:
        return describe_places(script.aws(), [place, place], source)[place]

    assert described_by(account).value[settings] == answer[settings]
    assert account.asked(source) == [{"DomainId": "d-1"} | request_]
    assert described_by(Script({source: {"DomainId": "d-1"}})).value[settings] == {}
    cut = described_by(Script({source: Torn({})}))
    assert cut == Unreadable("the answer has no DomainId", source)


@cases(
    "source, settings, calls",
    (DESCRIBE_PROFILE, USER, 4),
    (DESCRIBE_SPACE, SPACE, 4),
    (DESCRIBE_DOMAIN, DOMAIN, 5),
)
def test_a_place_in_a_known_state_is_not_described_again(source: str, settings: str, calls: int) -> None:
    idle = {"AppLifecycleManagement": {"IdleSettings": {"IdleTimeoutInMinutes": 60}}}
    account = Script({source: {"DomainId": "d-1", settings: {"CodeEditorAppSettings": idle}}})
    kept, place = KeptDescriptions(NoFiles(), NOW), ("d-1", "desk")

    for state in ("first", "first", "changed", "", ""):  # at last it moves
        found = describe_places(account.aws(kept=kept), [place], source, {place: state})[place]
        assert isinstance(found, Value)
        assert found.source == source
        assert shutdown_layer(CODE_EDITOR, found.value, shared=False).timeout == timedelta(hours=1)

    assert len(account.asked(source)) == calls


class NoFiles:
    """No file of earlier runs."""

    def read(self, *_: str) -> None:
        return None

    def write(self, *_: object) -> None:
        raise AssertionError("nothing is saved here")


SOURCE = "cloudwatch:GetMetricData"
ARE = janitor_idle_metric(NotebookInstanceName="eda")


def published(points: Mapping[int, float] | None) -> Script:
    """Idle seconds by how many minutes ago they were published."""

    def answer(asked: Mapping[str, Any]) -> Any:
        (query,) = asked["MetricDataQueries"]
        stat = query["MetricStat"]
        assert (asked["StartTime"], asked["EndTime"]) == (NOW - 180 * MINUTE, NOW)
        assert (stat["Stat"], stat["Period"]) == ("Minimum", 60)
        assert (stat["Metric"]["Namespace"], stat["Metric"]["MetricName"]) == (
            "MLJanitor/Notebooks",
            "IdleSeconds",
        )
        if points is None:
            return DENIED
        times = [NOW - minutes * MINUTE for minutes in points]
        result = {
            "Id": query["Id"],
            "StatusCode": "Complete",
            "Timestamps": times,
            "Values": [*points.values()],
        }
        return {"MetricDataResults": [result]}

    return Script({"cloudwatch:GetMetricData": answer})


@cases(
    "points, expected",
    ({9: 60.0, 3: 120.0, 5: 180.0}, Value(2 * MINUTE, SOURCE, NOW - 3 * MINUTE)),
    ({3: -5.0}, Value(timedelta(), SOURCE, NOW - 3 * MINUTE)),
    ({3: 0.5}, Value(timedelta(seconds=0.5), SOURCE, NOW - 3 * MINUTE)),
    ({3: 1e12}, Value(timedelta(days=3650), SOURCE, NOW - 3 * MINUTE)),
    ({}, Absent(SOURCE)),
    (None, Unreadable("GetMetricData: AccessDeniedException: denied", SOURCE)),
)
def test_the_newest_idle_time_counts(points: Mapping[int, float] | None, expected: Signal[timedelta]) -> None:
    assert read_idle_times(published(points).aws(), {"eda": ARE}, NOW) == {"eda": expected}


@cases(
    "idle, counts, said",
    (Value(2 * MINUTE, SOURCE, NOW - 30 * MINUTE), True, "2 minutes at 2026-10-06T02:30:00Z"),
    (
        Value(2 * MINUTE, SOURCE, NOW - 30 * MINUTE - SECOND),
        False,
        "2 minutes at 2026-10-06T02:29:59Z, too long ago to count",
    ),
    (Value(2 * MINUTE, SOURCE), False, None),
    (Absent(SOURCE), False, None),
    (NotRead(), False, None),
)
def test_an_old_idle_time_is_no_sign(*, idle: Signal[timedelta], counts: bool, said: str | None) -> None:
    assert fresh_idle_time(idle, NOW) == (idle if counts else None)
    assert idle_time_text(idle, NOW) == said
