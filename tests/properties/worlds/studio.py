"""Random Studio apps, in spaces and for user profiles, with and without Studio's own idle shutdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import (
    COMPLETE,
    EXEMPT,
    HOUR,
    MINUTE,
    NONE,
    ROLE,
    UNKEPT,
    Account,
    Kind,
    Labels,
    Members,
    Thing,
    spans,
)
from sagemaker_requests import domain_request

PATIENCE = 4 * HOUR
GROUP = "/aws/sagemaker/studio"

IN_SPACES = ("JupyterLab", "CodeEditor")
"""These run in spaces, and have an idle shutdown."""

JUDGED = (*IN_SPACES, "KernelGateway", "Canvas")

NEVER = timedelta(days=999)
CONNECTED = 12 * HOUR
"""How long an editor on another machine may stay connected to a space."""

OFF = timedelta()
"""What a domain or profile says that switches idle shutdown off; None says nothing."""


@dataclass(frozen=True, kw_only=True)
class App(Thing):
    """
    An app, and the space or user profile that it runs for, which have labels of their own.

    *started*, *active* and *logged* are how long ago that was; an app that is not *active* has the
    time of its health check there. *idle* is what Canvas publishes, *published* how long ago. After
    so long Studio stops it itself: as its *domain*, its *profile* and its *space* have it. *remote* is how
    long ago an editor on another machine connected, `NEVER` if its space only allows that.
    """

    calls = (
        "sagemaker:ListApps",
        "sagemaker:ListSpaces",
        "sagemaker:DescribeApp",
        "sagemaker:DescribeDomain",
        "sagemaker:DescribeUserProfile",
        "sagemaker:DescribeSpace",
        "logs:DescribeLogStreams",
        "logs:GetLogEvents",
        "cloudwatch:GetMetricData",
        "cloudtrail:LookupEvents",
        "tag:GetResources",
    )

    kind: str
    labels_above: Labels
    labels_of_profile: Labels
    status: str
    instance: str
    started: timedelta
    active: timedelta | None
    logged: timedelta | None
    idle: timedelta | None
    published: timedelta
    shared: bool
    remote: timedelta | None
    domain: timedelta | None
    profile: timedelta | None
    space: timedelta | None

    @property
    def in_space(self) -> bool:
        return self.kind in IN_SPACES

    @property
    def exempt(self) -> bool:
        above = self.in_space and self.labels_above.exempt
        return self.labels.exempt or self.labels_of_profile.exempt or above

    @property
    def free(self) -> bool:
        return self.instance == "system" and self.kind != "Canvas"

    @property
    def says(self) -> bool:
        """Whether its space publishes an idle time that speaks of now."""
        return self.in_space and self.idle is not None and self.published <= 30 * MINUTE

    @property
    def stopped_after(self) -> timedelta:
        """When Studio itself stops it, once it is idle; `OFF` if never."""
        if not self.in_space:
            return OFF
        said = self.domain if self.profile is None or self.shared else self.profile
        if self.shared and self.kind == "CodeEditor":  # a domain's settings for spaces have no word for it
            said = None
        if self.space is None or said == OFF:
            return said or OFF
        return self.space

    @property
    def unused(self) -> bool:
        """Whether something tells that nobody uses it, for longer than it may take Studio to stop it."""
        if self.kind == "Canvas":
            if self.idle is None or self.published > 30 * MINUTE:
                return False
            signs = [self.started, self.idle + self.published]
        else:
            used = [sign for sign in (self.active, self.logged) if sign is not None]
            arrives = self.logged is not None and self.logged <= self.started
            if self.active is None and not arrives and not self.says:
                return False
            signs = [self.started, *used]
            if self.says and self.idle is not None:
                signs.append(self.idle)
            if self.remote is not None and self.in_space:
                signs.append(max(self.remote - CONNECTED, timedelta()))
        return min(signs) >= max(PATIENCE, 2 * self.stopped_after)

    def claim(self, account: Account, arn: str) -> None:
        waste = (
            self.kind in JUDGED
            and self.status == "InService"
            and not self.free
            and not self.exempt
            and self.unused
        )
        needs = {"sagemaker:ListApps", "sagemaker:DescribeApp", "tag:GetResources"}
        if self.in_space:
            needs |= {"sagemaker:ListSpaces", "sagemaker:DescribeSpace", "sagemaker:DescribeDomain"}
            needs |= set() if self.shared else {"sagemaker:DescribeUserProfile"}
            needs |= set() if self.remote is None else {"cloudtrail:LookupEvents"}
        if self.kind != "Canvas":
            needs.add("logs:GetLogEvents")
        if self.kind == "Canvas" or self.in_space:
            needs.add("cloudwatch:GetMetricData")
        certain = self.kind == "Canvas" or (self.says and self.remote is None)
        account.claim("idle-studio-apps", arn, waste=waste, certain=certain, needs=needs)

    def build(self, account: Account) -> None:
        account.be(100 * HOUR)
        domain = self._domain(account)
        user = account.name("user")
        settings = {"ExecutionRole": ROLE, **shutdown(self.profile)}
        profile = account.sagemaker.create_user_profile(
            DomainId=domain,
            UserProfileName=user,
            UserSettings=settings,  # type: ignore[arg-type]  # the same for either kind
            Tags=self.labels_of_profile.listed,
        )
        account.tagged(profile["UserProfileArn"], self.labels_of_profile)
        owner = {"UserProfileName": user}
        if self.in_space:
            owner = {"SpaceName": self._space(account, domain, user)}
        account.be(self.started)
        app: Any = {"DomainId": domain, **owner, "AppType": self.kind, "AppName": "default"}
        if self.instance:
            app["ResourceSpec"] = {"InstanceType": self.instance}
        arn = account.sagemaker.create_app(**app, Tags=self.labels.listed)["AppArn"]
        (name,) = owner.values()
        self._use(account, domain, name)
        if self.status == "Deleted":
            account.be(HOUR)
            account.sagemaker.delete_app(**{key: app[key] for key in app if key != "ResourceSpec"})
        self.claim(account, arn)

    def _domain(self, account: Account) -> str:
        """The account's one domain that says this about idle shutdown."""
        name = "domain" if self.domain is None else f"domain-{self.domain // MINUTE}"
        known = account.sagemaker.list_domains()["Domains"]
        if found := [one["DomainId"] for one in known if one["DomainName"] == name]:
            return found[0]
        settings: Any = {"ExecutionRole": ROLE, **shutdown(self.domain)}
        of_spaces: Any = {key: settings[key] for key in settings if not key.startswith("CodeEditor")}
        more = {"DefaultUserSettings": settings, "DefaultSpaceSettings": of_spaces, "Tags": COMPLETE.listed}
        made = account.sagemaker.create_domain(**domain_request(name, **more))
        account.tagged(made["DomainArn"], COMPLETE)
        return made["DomainId"]

    def _space(self, account: Account, domain: str, user: str) -> str:
        name = account.name("space")
        settings: Any = {"AppType": self.kind}
        if self.remote is not None:
            settings["RemoteAccess"] = "ENABLED"
        if self.space is not None:
            idle = {"IdleSettings": {"IdleTimeoutInMinutes": self.space // MINUTE}}
            settings[f"{self.kind}AppSettings"] = {"AppLifecycleManagement": idle}
        made = account.sagemaker.create_space(
            DomainId=domain,
            SpaceName=name,
            OwnershipSettings={"OwnerUserProfileName": user},
            SpaceSharingSettings={"SharingType": "Shared" if self.shared else "Private"},
            SpaceSettings=settings,
            Tags=self.labels_above.listed,
        )
        account.tagged(made["SpaceArn"], self.labels_above)
        if self.remote not in (None, NEVER):
            account.be(self.remote)
            account.sagemaker.start_session(ResourceIdentifier=made["SpaceArn"])
        return name

    def _use(self, account: Account, domain: str, owner: str) -> None:
        """Leave the traces of its use."""
        path, now = f"{domain}/{owner}/{self.kind}/default", account.now
        members: dict[str, Any] = {}
        if self.kind != "Canvas":
            seen = 2 * MINUTE if self.active is None else self.active
            members = {"LastHealthCheckTimestamp": now - 2 * MINUTE, "LastUserActivityTimestamp": now - seen}
        if self.status == "Pending":
            members["Status"] = "Pending"
        if members:
            account.control.patch("sagemaker", ["apps", path], **members)
        if self.logged is not None:
            account.control.logs(GROUP, path, [(now - self.logged, "Saving file")])
        if (self.kind == "Canvas" or self.in_space) and self.idle is not None:
            canvas = self.kind == "Canvas"
            metric = ("MLJanitor/Notebooks", "IdleSeconds")
            if canvas:
                metric = ("/aws/sagemaker/Canvas/AppActivity", "TimeSinceLastActive")
            where = {"DomainId": domain, "UserProfileName" if canvas else "SpaceName": owner}
            idle, since = [self.idle.total_seconds()], now - self.published
            account.measure(metric, where, idle, since=since, step=60)


def shutdown(after: timedelta | None) -> Mapping[str, Any]:
    """Settings of a domain or profile for idle shutdown: after so long, off, or nothing said."""
    if after is None:
        return {}
    idle: dict[str, Any] = {"LifecycleManagement": "DISABLED"}
    if after != OFF:
        idle = {"LifecycleManagement": "ENABLED", "IdleTimeoutInMinutes": after // MINUTE}
    return {f"{kind}AppSettings": {"AppLifecycleManagement": {"IdleSettings": idle}} for kind in IN_SPACES}


SHARED: Members = {
    "labels": (UNKEPT, EXEMPT),
    "labels_above": ([COMPLETE, NONE],),
    "labels_of_profile": ([COMPLETE, NONE], EXEMPT[:2]),
    "status": (["InService"], ["Deleted", "Pending"]),
    "instance": (["ml.t3.medium"],),
    "started": (spans(HOUR, 80), spans(HOUR, 2, 4)),
    "active": ([None],),
    "logged": (spans(HOUR, 60),),
    "idle": ([None],),
    "published": (spans(MINUTE, 5),),
    "shared": ([False],),
    "remote": ([None],),
    "domain": ([None],),
    "profile": ([None],),
    "space": ([None],),
}
USED: Members = {
    "active": ([None], spans(HOUR, 0.5, 3.9, 4)),
    "logged": (spans(HOUR, 60), [None, *spans(HOUR, 0.5, 3.9, 4)]),
}
IN_SPACE: Members = {
    **SHARED,
    **USED,
    "labels_above": ([COMPLETE, NONE], EXEMPT[:2]),
    "active": ([None, 60 * HOUR], USED["active"][1]),
    "idle": ([None, 60 * HOUR], [OFF, *spans(HOUR, 3.9)]),
    "published": (spans(MINUTE, 5, 50), spans(MINUTE, 5)),
    "shared": ([False, True],),
    "remote": ([None, NEVER, 17 * HOUR], spans(HOUR, 0.5, 11, 15.9)),
    "domain": ([None, OFF, 6 * HOUR], spans(HOUR, 35)),
    "profile": ([None], [OFF, *spans(HOUR, 2, 35)]),
    "space": ([None], spans(HOUR, 3, 35)),
}
GATEWAY: Members = {
    **SHARED,
    **USED,
    "kind": (["KernelGateway"], ["JupyterServer"]),
    "instance": (["ml.t3.medium"], ["system"]),
}
CANVAS: Members = {
    **SHARED,
    "kind": (["Canvas"],),
    "idle": (spans(HOUR, 60), [None, *spans(HOUR, 0.5, 3.9)]),
    "instance": (["", "system"],),
    "published": (spans(MINUTE, 5), spans(MINUTE, 50)),
}
KINDS = (
    *(Kind.of(App, **{**IN_SPACE, "kind": ([kind],)}) for kind in IN_SPACES),
    Kind.of(App, **GATEWAY),
    Kind.of(App, **CANVAS),
)
