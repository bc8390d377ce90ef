"""Whether a press on a button in Slack would be heard: the signing secret, and the user group."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ml_janitor.slack.ingress import NoSecretError, held
from ml_janitor.slack.refusals import TO_DO
from ml_janitor_cli.stack import Check, Deployment, Gone, Outcome, Trouble, read

if TYPE_CHECKING:
    from ml_janitor_cli.workspace import Workspace


def signing_check(here: Deployment, name: str) -> Check:
    """Whether the receiver can tell what Slack signed."""
    wrong = partial(Check, what="signing secret", outcome=Outcome.WRONG)
    match read(partial(here.client("secretsmanager").get_secret_value, SecretId=name)):
        case Trouble() as trouble:
            return trouble.check("signing secret", action="secretsmanager:GetSecretValue")
        case Gone():
            said = f"there is no secret {name} in {here.region}, so no press is heard"
            return wrong(
                said=said, to_do=f"aws secretsmanager create-secret --name {name} --secret-string SECRET"
            )
        case answer:
            text = str(answer.get("SecretString", ""))
    try:
        held(text, name)
    except NoSecretError as none:
        return wrong(
            said=f"{none}, so no press is heard", to_do="put the one of the app's Basic Information into it"
        )
    return Check(what="signing secret", outcome=Outcome.FINE, said=f"{name} can be read")


def group_check(space: Workspace, group: str) -> Iterator[Check]:
    """Whether anybody may press Do it now and Undo; where the scope is missing, that is said elsewhere."""
    wrong = partial(Check, what="user group", outcome=Outcome.WRONG)
    nobody = "so nobody can press Do it now or Undo"
    match space.ask("usergroups_users_list", usergroup=group):
        case Trouble(Outcome.REFUSED, "missing_scope"):
            return
        case Trouble(Outcome.REFUSED, why):
            yield wrong(said=f"{group}: {why}, {nobody}", to_do=TO_DO.get(why, ""))
        case Trouble() as trouble:
            yield trouble.check("user group")
        case answer if not answer["users"]:
            yield wrong(said=f"{group} has no members, {nobody}", to_do="add somebody to it in Slack")
        case answer:
            yield Check(what="user group", outcome=Outcome.FINE, said=f"{len(answer['users'])} in {group}")
