"""The IAM permissions of each function, from the detectors' declared grants: exact actions and resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ml_janitor.aws.client import scratch_folder
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.bill.reading import bill_reads, cost_explorer_reads
from ml_janitor.bill.report import BILL_FOLDER
from ml_janitor.bill.resources import BilledResources
from ml_janitor.config.functions import ADVISERS, Advisers
from ml_janitor.config.member_roles import (
    GrantConditions,
    RoleKind,
    RoleReader,
    assumable_role_arns,
    deny_kept_resources,
    group_conditions,
    group_grants,
    member_role,
)
from ml_janitor.config.settings import Settings
from ml_janitor.core.model import Mode
from ml_janitor.engine.detector import IN_OWN_ACCOUNT, OWN_ACCOUNT, Condition, Detector, Grant, allow
from ml_janitor.engine.policy import Arming
from ml_janitor.ledger import uses
from ml_janitor.ledger.files import DESCRIPTIONS_KEY
from ml_janitor.ledger.latest import ORGANIZATION_KEY
from ml_janitor.scheduled.accounts import account_list_grants
from ml_janitor_cli.template.keys import KeyUser, SigningKeys
from ml_janitor_cli.template.resources import ACCOUNT, PARTITION, REGION, Statement, allow_actions

# --- permissions of each function -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The rights of functions under *settings*; in an organization they see accounts through roles alone."""

    settings: Settings
    ledger: str
    reports: str
    keys: SigningKeys

    def of_sweep(self, detector: Detector[Any]) -> list[RolePermissions]:
        """Allow a sweep with *detector*: read, keep reports, and if armed act."""
        armed, organization = self._armed(detector), self.settings.organization.used
        own = self.own(uses.sweep_uses(detector, armed=armed, organization=organization))
        where = self._through_roles(detector) if organization else self._here(detector)
        lists = [self._lists(f"{detector.name}/*")] if organization else []
        warns = ("Publish", "ListSubscriptionsByTopic") if armed else ()
        return [own, *where, *lists, self._news(*warns)]

    def of_advisers(self, advisers: Sequence[Detector[Any]]) -> list[RolePermissions]:
        """Allow sweeps with all *advisers*: the union of what they read, no act, and no object's content."""
        organization = self.settings.organization.used
        used = [uses.sweep_uses(detector, armed=False, organization=organization) for detector in advisers]
        own = self._own(uses.merged_table_grants(used, self.ledger))
        keeps = [grant for detector in advisers for grant in self._keeps(detector)]
        reader = Advisers(advisers)
        if organization:
            prices = [grant for grant in reader.reads if grant.action == GET_PRODUCTS]
            lists, taking = self._lists(f"{ADVISERS}/*"), self._taking_on(reader, RoleKind.READ)
            return [own, RolePermissions([*keeps, *prices]), lists, taking, self._news()]
        regions = tuple(self.settings.janitor.regions) or (REGION,)
        everywhere = [GrantPlace(ACCOUNT, "*")]
        return [own, RolePermissions([*keeps, *reader.reads], everywhere, regions=regions), self._news()]

    def of_undo(self, undoable: Iterable[Detector[Any]]) -> list[RolePermissions]:
        """Allow undoing what the detectors did."""
        own = [self.own(uses.undo_uses()), self.signing(KeyUser.UNDO), self._news()]
        return [*own, *map(self._undoes, undoable)]

    def of_digest(self) -> list[RolePermissions]:
        """Allow reading what the sweeps left, and the picture of the bill, which a digest may show."""
        organization, bill = self.settings.organization.used, self.settings.bill.enabled
        return [
            self.own(uses.digest_uses(bill=bill, organization=organization)),
            self.signing(KeyUser.DIGEST),
            *([RolePermissions(self._objects(f"{BILL_FOLDER}/*.png", "Get"))] if bill else []),
            *([self._lists("*")] if organization else []),
            self._news("Publish"),
        ]

    def of_bill(self) -> list[RolePermissions]:
        """Allow reading the bill, and keeping it."""
        organization, kept = self.settings.organization.used, self._objects(f"{BILL_FOLDER}/*", "Get", "Put")
        own = [
            self.own(uses.bill_uses(organization=organization)),
            self.signing(KeyUser.BILL),
            self._news(),
        ]
        if organization:
            costs = RolePermissions([*cost_explorer_reads(self.settings.bill), *kept])
            return [*own, costs, self._lists("*"), self._taking_on(BilledResources(), RoleKind.READ)]
        everywhere = own_places(self.settings.janitor.regions)
        return [*own, RolePermissions([*bill_reads(self.settings.bill), *kept], everywhere)]

    def of_accounts(self) -> list[RolePermissions]:
        """Allow listing the accounts of the organization, and keeping that list."""
        lists = self._objects(f"{ORGANIZATION_KEY}/*", "Get", "Put")
        return [
            RolePermissions(uses.table_grants(uses.accounts_uses(), self.ledger)),
            RolePermissions([*lists, *account_list_grants(self.settings.organization)]),
        ]

    def own(self, used: uses.TableUses) -> RolePermissions:
        """Allow what is *used* of the ledger, and the secret with Slack's token, if there is one."""
        return self._own(uses.table_grants(used, self.ledger))

    def _own(self, ledger: Iterable[Grant]) -> RolePermissions:
        secret = self.settings.janitor.slack_secret
        return RolePermissions([*ledger, *([self.secret(secret)] if secret else [])])

    def secret(self, name: str) -> Grant:
        """Allow reading the secret *name*, to whose ARN Secrets Manager adds six characters."""
        arn = f"arn:{PARTITION}:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-??????"
        return allow("secretsmanager:GetSecretValue", on=arn)

    def _news(self, *of_topic: str) -> RolePermissions:
        """Allow sending events to the bus, and *of_topic* on the topic of mails, as far as there are any."""
        notify = self.settings.notify
        bus = f"arn:{PARTITION}:events:{REGION}:{ACCOUNT}:event-bus/{notify.events}"
        mails = [allow(f"sns:{action}", on=notify.email) for action in of_topic if notify.email]
        return RolePermissions([*([allow("events:PutEvents", on=bus)] if notify.events else []), *mails])

    def signing(self, *users: KeyUser) -> RolePermissions:
        """Allow signing and verifying as the kinds *users* of roles do."""
        return RolePermissions(self.keys.grants(*users))

    def _armed(self, detector: Detector[Any]) -> bool:
        return self.settings.mode(detector.name) is Mode.ACT

    def _lists(self, of: str) -> RolePermissions:
        """Allow reading the lists of runs over the organization."""
        return RolePermissions(self._objects(f"{ORGANIZATION_KEY}/{of}", "Get"))

    def _objects(self, under: str, *verbs: str) -> list[Grant]:
        """Allow getting or putting objects of the report bucket."""
        on, own = f"{self.reports}/{under}", (IN_OWN_ACCOUNT,)
        return [allow(f"s3:{verb}Object", on=on, when=own) for verb in verbs]

    def _here(self, detector: Detector[Any]) -> list[RolePermissions]:
        """Allow reading and reports here, and changes where `act_in` says, except with the keep tags."""
        section = self.settings.janitor
        reads = RolePermissions([*detector.reads, *self._keeps(detector)], own_places(section.regions))
        if not self._armed(detector):
            return [reads]
        where = acting_places(self.settings.arming(type(detector)), section.regions)
        return [
            reads,
            RolePermissions(detector.acts, where, deny_kept_resources(detector.acts, section.keep_tags)),
        ]

    def _through_roles(self, detector: Detector[Any]) -> list[RolePermissions]:
        """Allow keeping reports, asking for prices, and assuming its roles."""
        kinds = [RoleKind.READ, *([RoleKind.ACT] if self._armed(detector) else [])]
        prices = [grant for grant in detector.reads if grant.action == GET_PRODUCTS]
        keeps = RolePermissions([*self._keeps(detector), *prices])
        return [keeps, *(self._taking_on(detector, kind) for kind in kinds)]

    def _undoes(self, detector: Detector[Any]) -> RolePermissions:
        if self.settings.organization.used:
            return self._taking_on(detector, RoleKind.UNDO)
        swept = self.settings.janitor.regions
        where = undoing_places(self.settings.arming(type(detector)), swept)
        if self.settings.undoes_elsewhere(detector.name):
            where = list(dict.fromkeys([*where, *own_places(swept)]))
        return RolePermissions(detector.undoes, where)

    def _taking_on(self, reader: RoleReader, kind: RoleKind) -> RolePermissions:
        """Allow assuming the role of that *kind* for *reader* in the accounts that have it."""
        arns = assumable_role_arns(self.settings, member_role(reader, kind), partition="aws")
        organization = self.settings.organization.id
        inside = (Condition("StringEquals", "aws:ResourceOrgID", (organization,)),) if organization else ()
        return RolePermissions([allow("sts:AssumeRole", on=arn, when=inside) for arn in arns])

    def _keeps(self, detector: Detector[Any]) -> list[Grant]:
        """Allow writing into its folder of the report bucket, and files for the next run."""
        keeps = self._objects(f"{detector.name}/*", "Put")
        if detector.keeps_files:
            keeps += self._objects(f"{scratch_folder(detector.name)}*", "Get")
        if detector.keeps_descriptions:
            keeps += self._objects(f"{DESCRIPTIONS_KEY}/*", "Get", "Put")
        return keeps


def allow_invoking(*functions: str) -> RolePermissions:
    """Allow invoking the functions with these ARNs."""
    return RolePermissions([allow("lambda:InvokeFunction", on=function) for function in functions])


# --- statements -----------------------------------------------------------------------------------

LONGEST_RESOURCES = 5_600
"""
Characters of the resources of one statement.

IAM takes 6,144 in a managed policy; CDK spreads what is more over several, and divides no statement. So the
longest statements nearly fill a policy: a role has ten at most, unless its account's quota is raised. How
much CDK puts into one follows from arnSizeEstimate in cdk.json: it takes an ARN for 150 characters otherwise.
"""


class GrantPlace(NamedTuple):
    """A place where a grant holds: an account, and a region of it."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class RolePermissions:
    """
    Permissions of a function's role: *grants*, each in the places *where*, except *denied*.

    A condition on *regions* limits what is in places of any region.
    """

    grants: Sequence[Grant]
    where: Sequence[GrantPlace] = ()
    denied: Sequence[Statement] = ()
    regions: tuple[str, ...] = ()


def own_places(regions: Sequence[str]) -> list[GrantPlace]:
    """Return the *regions* of the stack's own account; its own region if none is named."""
    return [GrantPlace(ACCOUNT, region) for region in regions or [REGION]]


def acting_places(arming: Arming, regions: Sequence[str]) -> list[GrantPlace]:
    """
    Return the places where `act_in` lets a detector act, as the operator wrote it.

    In a deployment to another account than those, there are no such places.
    """
    return [GrantPlace(*place) for place in arming.places(regions or [REGION])]


def undoing_places(arming: Arming, regions: Sequence[str]) -> list[GrantPlace]:
    """Return the places where an action can be undone; disarmed, without `act_in`, everywhere it sweeps."""
    return [GrantPlace(*place) for place in arming.undo_places(regions or [REGION])] or own_places(regions)


def allow_statements(allowed: RolePermissions) -> list[Statement]:
    """Return one Allow per set of actions under the same conditions, or as many as its resources need."""
    only = Condition("StringEquals", "aws:RequestedRegion", allowed.regions)

    def on(grant: Grant) -> list[tuple[str, GrantConditions]]:
        regional = bool(allowed.regions) and not is_whole(grant.on)
        when = (*grant.when, only) if regional else grant.when
        return [(resource, when) for resource in grant_resources(grant, allowed.where)]

    return [
        allow_actions(
            granted,
            *some,
            when=group_conditions(
                replace(
                    condition,
                    values=tuple(in_stack_account(value) for value in condition.values),
                )
                for condition in when
            ),
        )
        for granted, when, resources in group_grants(allowed.grants, on, merged=bool(allowed.regions))
        for some in split_resources(resources)
    ]


def split_resources(resources: Iterable[str]) -> Iterator[list[str]]:
    """Split *resources* in order into lists that each fit a statement: many regions need several."""
    some: list[str] = []
    length = 0
    for resource in resources:
        own = len(resource) - resource.count("${") + len('"",')
        if some and length + own > LONGEST_RESOURCES:
            yield some
            some, length = [], 0
        some.append(resource)
        length += own
    if some:
        yield some


def grant_resources(grant: Grant, where: Sequence[GrantPlace]) -> list[str]:
    """Return the ARNs of *grant* in every one of the places; "*" and whole ARNs stay as they are."""
    if is_whole(grant.on) and not grant.on.startswith("arn:"):
        return [grant.on]
    if grant.on.startswith("arn:"):
        return [in_stack_account(grant.on)]
    service, own = grant.action.partition(":")[0], PARTITION
    return [f"arn:{own}:{service}:{place.region}:{place.account}:{grant.on}" for place in where]


def is_whole(resource: str) -> bool:
    """Return whether *resource* of a grant is all, or an ARN, so that it is the same in all places."""
    return resource == "*" or resource.startswith(("${", "arn:"))


def in_stack_account(text: str) -> str:
    """Return *text* with the stack's account and partition: an ARN, or a value of a condition."""
    if text == OWN_ACCOUNT:
        return ACCOUNT
    own = text.replace(f":{OWN_ACCOUNT}:", f":{ACCOUNT}:") if OWN_ACCOUNT in text else text
    return own.replace("arn:aws:", f"arn:{PARTITION}:", 1)
