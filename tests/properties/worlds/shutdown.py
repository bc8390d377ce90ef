"""Random Studio domains, each with a user profile and a space, and what they say about idle shutdown."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import EXEMPT, HOUR, MINUTE, ROLE, UNKEPT, Account, Kind, Labels, Thing
from properties.worlds.studio import OFF, shutdown
from sagemaker_requests import domain_request

DETECTOR = "studio-without-idle-shutdown"
LISTINGS = {DETECTOR: {"sagemaker:ListDomains", "sagemaker:ListUserProfiles", "sagemaker:ListSpaces"}}
SOON, LATE = 2 * HOUR, 48 * HOUR
"""Within the day that an idle app may stand by default, and beyond it."""
BAD = (None, OFF, LATE)


@dataclass(frozen=True, kw_only=True)
class Studio(Thing):
    """
    What a *domain*, its settings for *spaces*, a *profile* and a *space* of it say; None is nothing.

    The space is the profile's own, or *shared*; *kind* is the type of its apps. *status* is the domain's.
    """

    calls = (
        "sagemaker:ListDomains",
        "sagemaker:ListUserProfiles",
        "sagemaker:ListSpaces",
        "sagemaker:DescribeDomain",
        "sagemaker:DescribeUserProfile",
        "sagemaker:DescribeSpace",
        "tag:GetResources",
    )

    labels_of_profile: Labels
    labels_of_space: Labels
    status: str
    kind: str
    shared: bool
    domain: timedelta | None
    spaces: timedelta | None
    profile: timedelta | None
    space: timedelta | None

    @property
    def inherited(self) -> timedelta | None:
        """What the space's apps have without a word of its own."""
        if not self.shared:
            return self.domain if self.profile is None else self.profile
        return self.spaces if self.kind == "JupyterLab" else None

    @property
    def space_follows(self) -> bool:
        """Whether a shared space for JupyterLab runs on because of the domain's settings for spaces."""
        together = self.shared and self.kind == "JupyterLab"
        return together and self.spaces in BAD and (self.spaces == OFF or self.space is None)

    @property
    def domain_bad(self) -> bool:
        return (self.domain in BAD and self.profile is None) or self.space_follows

    @property
    def space_bad(self) -> bool:
        if self.kind == "KernelGateway" or self.inherited == OFF:
            return False
        alone = self.shared and self.kind == "CodeEditor" and self.space is None
        return alone or self.space == LATE

    def build(self, account: Account) -> None:
        account.be(1000 * HOUR)
        sagemaker: Any = account.sagemaker
        spaces = {key: value for key, value in shutdown(self.spaces).items() if key.startswith("Jupyter")}
        roots = {
            "DefaultUserSettings": {"ExecutionRole": ROLE, **shutdown(self.domain)},
            "DefaultSpaceSettings": {"ExecutionRole": ROLE, **spaces},
        }
        request = domain_request(account.name("studio"), **roots, Tags=self.labels.listed)
        domain = sagemaker.create_domain(**request)
        where = {"DomainId": domain["DomainId"]}
        profile = sagemaker.create_user_profile(
            **where,
            UserProfileName="anna",
            UserSettings={"ExecutionRole": ROLE, **shutdown(self.profile)},
            Tags=self.labels_of_profile.listed,
        )
        settings: Any = {"AppType": self.kind}
        if self.space is not None and self.kind != "KernelGateway":
            idle = {"IdleSettings": {"IdleTimeoutInMinutes": self.space // MINUTE}}
            settings[f"{self.kind}AppSettings"] = {"AppLifecycleManagement": idle}
        space = sagemaker.create_space(
            **where,
            SpaceName="desk",
            OwnershipSettings={"OwnerUserProfileName": "anna"},
            SpaceSharingSettings={"SharingType": "Shared" if self.shared else "Private"},
            SpaceSettings=settings,
            Tags=self.labels_of_space.listed,
        )
        if self.status != "InService":
            account.control.patch("sagemaker", ["domains", where["DomainId"]], Status=self.status)
        self._claim(account, domain["DomainArn"], profile["UserProfileArn"], space["SpaceArn"])

    def _claim(self, account: Account, domain: str, profile: str, space: str) -> None:
        every = frozenset(self.calls)
        own = every - {"sagemaker:DescribeSpace", "sagemaker:ListSpaces"}
        said = [self.domain] if self.domain in BAD and self.profile is None else []
        said += [self.spaces] if self.space_follows else []
        exempt = self.labels.exempt
        for arn, bad, certain, needs in (
            (
                domain,
                self.domain_bad and self.status == "InService",
                None not in said,
                every - needless(self),
            ),
            (profile, self.profile in (OFF, LATE), True, own - {"sagemaker:ListUserProfiles"}),
            (space, self.space_bad, self.space == LATE, (every if not self.shared else every - own) | BASE),
        ):
            if arn == profile:
                exempt = exempt or self.labels_of_profile.exempt
            if arn == space:
                exempt = self.labels.exempt or self.labels_of_space.exempt
                exempt = exempt or (not self.shared and self.labels_of_profile.exempt)
            waste = bad and not exempt
            account.claim(
                DETECTOR,
                arn,
                waste=waste,
                certain=certain,
                needs=needs - {"sagemaker:ListSpaces"} if arn == space else needs,
            )


BASE = frozenset({"sagemaker:DescribeDomain", "tag:GetResources"})


def needless(studio: Studio) -> frozenset[str]:
    """The calls that tell nothing about a domain, or nothing that its other setting does not."""
    if studio.domain in BAD and studio.profile is None:
        return frozenset({"sagemaker:DescribeSpace", "sagemaker:ListSpaces", "sagemaker:ListDomains"})
    return frozenset({"sagemaker:DescribeUserProfile", "sagemaker:ListUserProfiles", "sagemaker:ListDomains"})


KIND = Kind.of(
    Studio,
    labels=(UNKEPT, EXEMPT),
    labels_of_profile=(UNKEPT[:1], EXEMPT[:2]),
    labels_of_space=(UNKEPT[:1], EXEMPT[:2]),
    status=(["InService"], ["Failed"]),
    kind=(["JupyterLab", "CodeEditor"], ["KernelGateway"]),
    shared=([False, True],),
    domain=([None, OFF, LATE], [SOON]),
    spaces=([None, OFF, LATE], [SOON]),
    profile=([None, OFF, LATE], [SOON]),
    space=([None, LATE], [SOON]),
)

SHARED = KIND.but(shared=([True],), domain=([SOON],))
"""Where only the settings of shared spaces are wrong."""

EDITORS = SHARED.but(kind=(["CodeEditor"],), spaces=([SOON],))
"""Where only a shared space for Code Editor is."""

SPACES = KIND.but(domain=([SOON],), space=([LATE],))
"""Where only a space of one's own is."""

KINDS = (KIND, SHARED, EDITORS, SPACES)
