"""Random stopped notebook instances, and Studio spaces that apps ran in or did not."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import COMPLETE, DAY, EXEMPT, HOUR, UNKEPT, Account, Kind, Labels, Thing, spans
from sagemaker_requests import domain_request, notebook_request

DETECTOR = "unused-volumes"
LISTINGS = {DETECTOR: {"sagemaker:ListNotebookInstances", "sagemaker:ListSpaces", "sagemaker:ListApps"}}
GROUP = "/aws/sagemaker/studio"
SHARED_CALLS = (
    "sagemaker:ListNotebookInstances",
    "sagemaker:ListSpaces",
    "sagemaker:ListApps",
    "sagemaker:DescribeNotebookInstance",
    "logs:DescribeLogStreams",
    "tag:GetResources",
)


@dataclass(frozen=True, kw_only=True)
class Stopped(Thing):
    """A notebook instance that was *stopped* so long ago, or runs if that is None."""

    calls = SHARED_CALLS

    stopped: timedelta | None

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("stopped"), account.sagemaker
        account.be(100 * DAY)
        made = sagemaker.create_notebook_instance(
            **notebook_request(name, "ml.t3.medium", VolumeSizeInGB=200, Tags=self.labels.listed)
        )
        if self.stopped is not None:
            account.be(self.stopped)
            sagemaker.stop_notebook_instance(NotebookInstanceName=name)
        waste = self.stopped is not None and self.stopped >= 30 * DAY and not self.labels.exempt
        needs = {"sagemaker:ListNotebookInstances", "sagemaker:DescribeNotebookInstance", "tag:GetResources"}
        account.claim(DETECTOR, made["NotebookInstanceArn"], waste=waste, certain=True, needs=needs)


@dataclass(frozen=True, kw_only=True)
class Space(Thing):
    """
    A space *made* so long ago, with a volume of *size* GB or none, in a domain and of a user profile.

    *app* is whether one runs there, or was deleted five hours ago; *wrote* when one wrote its last line.
    """

    calls = SHARED_CALLS

    labels_of_domain: Labels
    labels_of_profile: Labels
    made: timedelta
    size: int | None
    app: str
    wrote: timedelta | None

    def build(self, account: Account) -> None:
        sagemaker: Any = account.sagemaker
        account.be(400 * DAY)
        domain = sagemaker.create_domain(
            **domain_request(account.name("volumes"), Tags=self.labels_of_domain.listed)
        )["DomainId"]
        where = {"DomainId": domain}
        sagemaker.create_user_profile(**where, UserProfileName="anna", Tags=self.labels_of_profile.listed)
        account.be(self.made)
        settings: Any = {"AppType": "JupyterLab"}
        if self.size is not None:
            settings["SpaceStorageSettings"] = {"EbsStorageSettings": {"EbsVolumeSizeInGb": self.size}}
        space = sagemaker.create_space(
            **where,
            SpaceName="desk",
            OwnershipSettings={"OwnerUserProfileName": "anna"},
            SpaceSharingSettings={"SharingType": "Private"},
            SpaceSettings=settings,
            Tags=self.labels.listed,
        )
        app = {**where, "SpaceName": "desk", "AppType": "JupyterLab", "AppName": "default"}
        if self.app:
            sagemaker.create_app(**app)
        if self.app == "deleted":
            account.be(5 * HOUR)
            sagemaker.delete_app(**app)
        account.be(timedelta())
        if self.wrote is not None:
            at = account.now - self.wrote
            account.control.logs(GROUP, f"{domain}/desk/JupyterLab/default", [(at, "Saving file")])
        kept = any(each.exempt for each in (self.labels, self.labels_of_domain, self.labels_of_profile))
        silent = self.wrote is None or self.wrote > 30 * DAY
        waste = not kept and not self.app and silent and self.made >= 30 * DAY and self.size is not None
        needs = {"sagemaker:ListApps", "logs:DescribeLogStreams", "tag:GetResources"}
        account.claim(DETECTOR, space["SpaceArn"], waste=waste, needs=needs)


NOTEBOOKS = Kind.of(
    Stopped, labels=(UNKEPT, EXEMPT), stopped=(spans(DAY, 60, 30), [None, *spans(DAY, 29, 1)])
)
SPACES = Kind.of(
    Space,
    labels=(UNKEPT, EXEMPT),
    labels_of_domain=([COMPLETE], EXEMPT[:1]),
    labels_of_profile=([COMPLETE], EXEMPT[:1]),
    made=(spans(DAY, 90, 31), spans(DAY, 29)),
    size=([100, 5], [None]),
    app=([""], ["running", "deleted"]),
    wrote=([None, 40 * DAY], spans(DAY, 1, 29)),
)
KINDS = (NOTEBOOKS, SPACES)
