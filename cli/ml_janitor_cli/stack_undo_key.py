"""Whether the key that signs undo records can be used, and whether by whoever asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ml_janitor.ledger.macs import ALGORITHM
from ml_janitor_cli.stack import DEPLOY_AGAIN, Check, Deployment, Outcome, Stack, Trouble, read

KEY = "AWS::KMS::Key"
WHAT = "undo key"
CODE_BYTES = 32

NEEDED_FOR: Mapping[str, str] = {
    "GenerateMac": "janitor sweep --act",
    "VerifyMac": "janitor undo",
    "DescribeKey": "janitor undo --unsigned",
}
"""What a person needs each call for. A detector's role and the undo function's have them from the stack."""

FINE = frozenset({"DryRunOperationException", "KMSInvalidMacException"})
"""How KMS answers a dry run that would be allowed (API reference, GenerateMac and VerifyMac, "DryRun")."""


def undo_key_checks(here: Deployment, stack: Stack) -> Iterator[Check]:
    """One check of the key; another for what whoever asks may not do with it, which no function needs."""
    key = stack.one("UndoRecordKey", "", KEY)
    if key is None:
        said = "the stack has no key for undo records, so nothing can be acted on or undone"
        yield Check(what=WHAT, outcome=Outcome.WRONG, seen=said, to_do="make deploy adds it")
        return
    refused = []
    for operation, command in NEEDED_FOR.items():
        match read(partial(tried, here, operation, key), gone=FINE):
            case Trouble(outcome=Outcome.REFUSED):
                refused.append(f"kms:{operation} ({command})")
            case Trouble() as trouble:
                to_do = f"{DEPLOY_AGAIN} if it was deleted; else enable it in KMS, or cancel its deletion"
                yield Check(what=WHAT, outcome=Outcome.WRONG, seen=trouble.why, to_do=to_do)
                return
            case _:
                pass
    if refused:
        said = f"your credentials do not hold {', '.join(refused)}; the functions' roles do"
        yield Check(what=WHAT, outcome=Outcome.NOT_PROBED, seen=said, to_do="ask for it, to do that by hand")
    else:
        yield Check(what=WHAT, outcome=Outcome.FINE, seen="your credentials can sign and verify with it")


def tried(here: Deployment, operation: str, key: str) -> Any:
    """A dry run of *operation* with *key*: KMS answers with an error, whether it would be allowed or not."""
    if operation == "DescribeKey":  # reads, and has none
        return here.client("kms").describe_key(KeyId=key)
    about = {"KeyId": key, "MacAlgorithm": ALGORITHM, "Message": b"-", "DryRun": True}
    client = here.client("kms")
    if operation == "GenerateMac":
        return client.generate_mac(**about)
    return client.verify_mac(**about, Mac=bytes(CODE_BYTES))
