"""Checks of undo: the permissions of the undo function for recorded actions, and the key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from ml_janitor.acting.undos import is_undoable
from ml_janitor.config.settings import Settings
from ml_janitor.ledger.action import Action
from ml_janitor.ledger.actions import Actions
from ml_janitor.ledger.entries import Entry
from ml_janitor.ledger.findings import Ledger
from ml_janitor.ledger.macs import MAC_ALGORITHM
from ml_janitor.ledger.table import Table
from ml_janitor.report.mrkdwn import count_noun
from ml_janitor_cli.stack import (
    DEPLOY_AGAIN_ADVICE,
    Check,
    CheckOutcome,
    DeployedStack,
    MissingResource,
    RegionServices,
    Trouble,
    read_answer,
)
from ml_janitor_cli.stack_checks import FUNCTION_TYPE, TABLE_TYPE

UNDO_CHECK = "undo"


def check_undo(
    here: RegionServices, stack: DeployedStack, settings: Settings, *, account: str, now: datetime
) -> Iterator[Check]:
    """Check each detector and place with actions that can be undone, but not by the undo function."""
    name = next((physical for (_, kind), physical in stack.resources.items() if kind == TABLE_TYPE), None)
    if name is None:
        return  # the check of each function's last run says so
    table = Table(here.client("dynamodb"), name)
    asked = read_answer(lambda: (Actions(table).everywhere(), Ledger(table).everywhere()))
    match asked:
        case Trouble():
            yield asked.check(UNDO_CHECK, action="dynamodb:Scan")
        case MissingResource():
            return
        case (actions, entries):
            regions = settings.janitor.regions or [here.region]
            deployed = stack.physical_id("Undo", "Function", FUNCTION_TYPE) is not None
            yield from check_unreachable_actions(actions, settings, regions, account, now, deployed=deployed)
            within = timedelta(days=settings.janitor.undo_days)
            left = [
                action
                for action in actions
                if action.target.account == account and is_undoable(action, within, now)
            ]
            yield from check_undo_settings(left, entries, settings)


def check_unreachable_actions(
    actions: Iterable[Action],
    settings: Settings,
    regions: Sequence[str],
    account: str,
    now: datetime,
    *,
    deployed: bool,
) -> Iterator[Check]:
    """Check *actions*, where the stack of *account* sweeps *regions*."""
    within = timedelta(days=settings.janitor.undo_days)
    left: dict[tuple[str, str], list[Action]] = {}
    for action in actions:
        if action.target.account == account and is_undoable(action, within, now):
            left.setdefault((action.detector, action.target.region), []).append(action)
    for (detector, region), done in sorted(left.items()):
        last = max(action.began for action in done)
        to_do = undo_remedy(settings, detector, (account, region), regions, last=last.date(), now=now)
        if to_do is None and deployed:
            continue
        yield Check.wrong(
            UNDO_CHECK,
            f"{count_noun(len(done), 'thing')} that {detector} did in {region} can be undone until "
            f"{last + within:%Y-%m-%d}, but not by the undo function, which has no powers there",
            f"{to_do or DEPLOY_AGAIN_ADVICE}; or janitor undo, with credentials of your own",
        )


def check_undo_settings(
    left: Iterable[Action], entries: Iterable[Entry], settings: Settings
) -> Iterator[Check]:
    """
    Check settings that keep something from the undo function: past actions, and coming ones.

    An operator who lists no role wants every job restarted by a person, which is nothing to mend.
    """
    kinds = {detector.name: settings.detector(detector) for detector in settings.registry}
    lacking: dict[tuple[str, str], list[str]] = {}
    for action in left:
        if action.detector in kinds and (
            setting := kinds[action.detector].missing_for_undo(action.target, action.undo)
        ):
            lacking.setdefault((setting, action.detector), []).append("did")
    for entry in entries:
        if entry.warned is not None and entry.closed is None and entry.missing_for_undo:
            lacking.setdefault((entry.missing_for_undo, entry.detector), []).append("warned about")
    for (setting, name), verbs in sorted(lacking.items()):
        things = " and ".join(
            f"{count_noun(number, 'thing')} that {name} {verb}" for verb, number in Counter(verbs).items()
        )
        chosen = getattr(kinds.get(name), "undo_roles", None) == ()
        yield Check(
            what=UNDO_CHECK,
            outcome=CheckOutcome.FINE if chosen else CheckOutcome.WRONG,
            seen=f"{things} can be undone only by a person, unless you set {setting}",
            to_do=f"{setting}, and make deploy; or janitor undo, with credentials of your own",
        )


def undo_remedy(
    settings: Settings,
    detector: str,
    place: tuple[str, str],
    regions: Sequence[str],
    *,
    last: date,
    now: datetime,
) -> str | None:
    """Say what lets a stack that sweeps *regions* undo in *place*; None if it can."""
    kind = next((rule for rule in settings.registry if rule.name == detector), None)
    if kind is None:
        return "deploy a version that knows this detector"
    own = f"detectors.{detector}"
    if detector not in settings.undoable_names(now.date()):
        return f"armed_until = {last} in {own}, or the later day it was disarmed, and make deploy"
    account, region = place
    granted = settings.arming(kind).undo_places(regions) or [(account, own_region) for own_region in regions]
    if place in granted:
        return None
    if account not in {granted_account for granted_account, _ in granted}:
        return f'disarm {own} in the settings of this account: mode = "dry-run", armed_until = {last}'
    return f"{region} in janitor.regions again until then, and make deploy: act_in need not name it"


KEY_TYPE = "AWS::KMS::Key"
UNDO_KEY_CHECK = "undo key"
MAC_BYTES = 32

KEY_CALLS: Mapping[str, str] = {
    "GenerateMac": "janitor sweep --act",
    "VerifyMac": "janitor undo",
    "DescribeKey": "janitor undo --unsigned",
}
"""Commands for which a person needs each call. A detector's role and the undo function's have them."""

DRY_RUN_OK_CODES = frozenset({"DryRunOperationException", "KMSInvalidMacException"})
"""KMS's answers to a dry run that would be allowed (API reference, GenerateMac and VerifyMac, "DryRun")."""


def check_undo_key(here: RegionServices, stack: DeployedStack) -> Iterator[Check]:
    """Check the key, and what the caller may not do with it, which no function needs."""
    key = stack.physical_id("UndoRecordKey", "", KEY_TYPE)
    if key is None:
        said = "the stack has no key for undo records, so nothing can be acted on or undone"
        yield Check.wrong(UNDO_KEY_CHECK, said, "make deploy adds it")
        return
    refused = []
    for operation, command in KEY_CALLS.items():
        match read_answer(partial(dry_run_key, here, operation, key), gone=DRY_RUN_OK_CODES):
            case Trouble(outcome=CheckOutcome.REFUSED):
                refused.append(f"kms:{operation} ({command})")
            case Trouble() as trouble:
                to_do = (
                    f"{DEPLOY_AGAIN_ADVICE} if it was deleted; else enable it in KMS, or cancel its deletion"
                )
                yield Check.wrong(UNDO_KEY_CHECK, trouble.why, to_do)
                return
            case _:
                pass
    if refused:
        said = f"your credentials do not hold {', '.join(refused)}; the functions' roles do"
        yield Check.not_probed(UNDO_KEY_CHECK, said, "ask for it, to do that by hand")
    else:
        yield Check.fine(UNDO_KEY_CHECK, "your credentials can sign and verify with it")


def dry_run_key(here: RegionServices, operation: str, key: str) -> Any:
    """Make a dry run of *operation* with *key*: KMS answers with an error, allowed or not."""
    if operation == "DescribeKey":  # only reads, and has no dry run
        return here.client("kms").describe_key(KeyId=key)
    about = {"KeyId": key, "MacAlgorithm": MAC_ALGORITHM, "Message": b"-", "DryRun": True}
    client = here.client("kms")
    if operation == "GenerateMac":
        return client.generate_mac(**about)
    return client.verify_mac(**about, Mac=bytes(MAC_BYTES))
