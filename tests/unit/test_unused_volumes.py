"""The decide table of unused-volumes."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from conftest import DAY, NOW
from fakes import target_at
from ml_janitor.aws.prices import Price, volume_prices
from ml_janitor.core.model import Absent, Confidence, Finding, NotRead, Signal, Unreadable, Value
from ml_janitor.detectors import unused_volumes
from ml_janitor.detectors.unused_volumes import UnusedVolume, UnusedVolumes
from narrowing import of_type
from scripted import DENIED as DENIED_CALL
from scripted import Refusal, Script
from tables import cases
from verdicts import expect_verdict, shown

DENIED = Unreadable("ListApps: AccessDeniedException")


def volume(path: str, **more: Any) -> UnusedVolume:
    target = target_at(path, NOW - 300 * DAY)
    fields: dict[str, Any] = {
        "target": target,
        "changed": NOW - 40 * DAY,
        "size": Value(100),
        "price": Price(Decimal("0.14"), "Price List API"),
    }
    return UnusedVolume(**(fields | more))


def notebook(**more: Any) -> UnusedVolume:
    return volume("notebook-instance/eda", **{"status": "Stopped", **more})


def space(**more: Any) -> UnusedVolume:
    return volume("space/d-1/desk", **{"app": Absent(), "wrote": Absent(), **more})


@cases(
    "judged, verdict, reason",
    (notebook(), "found", "its 100 GB are billed, and it has been stopped for 40 days"),
    (notebook(changed=NOW - 30 * DAY), "found", "stopped for 30 days"),
    (notebook(changed=NOW - 30 * DAY + timedelta(seconds=1)), "kept", "judged from 30 days on"),
    (notebook(size=Unreadable("DescribeNotebookInstance: denied")), "unknown", "denied"),
    (notebook(size=NotRead()), "unknown", "not read"),
    (notebook(status="InService"), "kept", "it is InService"),
    (notebook(price=Price(None, "Price List API")), "found", "its 100 GB"),
    (space(), "found", "no app ran in this space for 30 days"),
    (space(size=Absent()), "kept", "it has no volume of its own"),
    (space(changed=NOW - 3 * DAY), "kept", "stopped or changed 3 days ago"),
    (space(app=Value("JupyterLab default, InService")), "kept", "used: apps: JupyterLab default"),
    (space(app=DENIED), "unknown", "ListApps: AccessDenied"),
    (space(wrote=Value(NOW - DAY)), "kept", "used: log"),
    (space(wrote=DENIED), "unknown", "AccessDenied"),
)
def test_unused_volumes(judged: UnusedVolume, verdict: str, reason: str) -> None:
    expect_verdict(UnusedVolumes().decide(judged, NOW), verdict, reason)


@cases(
    "judged, confidence, command",
    (notebook(), Confidence.PROVEN, "delete-notebook-instance --notebook-instance-name eda"),
    (space(), Confidence.LIKELY, "delete-space --domain-id d-1 --space-name desk"),
)
def test_the_change_is_a_command(judged: UnusedVolume, confidence: Confidence, command: str) -> None:
    decided = of_type(Finding, UnusedVolumes().decide(judged, NOW))

    assert decided.cost
    assert (decided.confidence, decided.cost.monthly_usd) == (confidence, Decimal("14.00"))
    assert command in decided.action


def test_what_was_seen_of_each_and_how_sure_it_is() -> None:
    of_notebook, of_space = (UnusedVolumes().decide(one, NOW) for one in (notebook(), space()))
    used = UnusedVolumes().decide(space(app=Value("JupyterLab default"), wrote=Value(NOW - DAY)), NOW)

    assert shown(of_notebook) == {"volume in GB": 100}
    assert shown(of_space) == {"volume in GB": 100, "app": "none", "last line of a log": "none"}
    assert shown(used)["app"] == "JupyterLab default"
    assert isinstance(of_notebook, Finding)
    assert (of_notebook.to_prove, of_notebook.since) == ("", NOW - 40 * DAY)
    assert of_type(Finding, of_space).to_prove == "that nobody needs its files, which only its owner knows"


DESCRIBED = {"NotebookInstanceName": "eda", "CreationTime": NOW}
SOURCE = "sagemaker:DescribeNotebookInstance"


@cases(
    "answer, size",
    (DESCRIBED | {"VolumeSizeInGB": 7}, Value(7, SOURCE)),
    (DESCRIBED, Unreadable("the answer was cut off", SOURCE)),
    (Refusal("ValidationException", "Could not find it"), Unreadable("it is gone", SOURCE)),
    (
        DENIED_CALL,
        Unreadable("notebook instance eda: DescribeNotebookInstance: AccessDeniedException: denied", SOURCE),
    ),
)
def test_the_size_of_a_volume_is_read_or_unknown_but_never_none(answer: Any, size: Signal[int]) -> None:
    assert unused_volumes._size(Script({SOURCE: answer}).aws(), "eda") == size


def test_a_volume_with_two_prices_has_none() -> None:
    def product(usage: str, usd: str) -> dict[str, Any]:
        dimension = {"unit": "GB-Mo", "pricePerUnit": {"USD": usd}}
        terms = {"OnDemand": {"offer": {"priceDimensions": {"rate": dimension}}}}
        return {"product": {"attributes": {"usagetype": usage}}, "terms": terms}

    listed = [
        product("USE1-Notebk:VolumeUsage.gp2", "0.14"),
        product("Studio:VolumeUsage", "0.1"),
        product("Studio:VolumeUsage.gp3", "0.2"),
        product("USE1-Host:VolumeUsageHours", "0.3"),
    ]

    assert volume_prices(listed) == {"Notebk": Decimal("0.14")}  # and two of Studio's: unknown
