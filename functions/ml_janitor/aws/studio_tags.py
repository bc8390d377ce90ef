"""Reads the tags of Studio apps: their own, and those of their space and user profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from ml_janitor.aws import sagemaker_kinds, tags
from ml_janitor.aws.client import Aws
from ml_janitor.aws.studio_apps import StudioApp
from ml_janitor.core.ownership import MANAGER_KEYS, NEGATIONS, managing_tool, normalised_key
from ml_janitor.core.signals import NotRead, Signal, Tags, Unreadable, Value

FROM_SPACE, FROM_PROFILE = "space", "user profile"

type SpaceOwners = Signal[Mapping[tuple[str, str], str | None]]
"""The user profile that owns each space, by domain and name; None for a shared space."""


def add_app_tags(aws: Aws, apps: Sequence[StudioApp]) -> list[StudioApp]:
    """Return *apps* with the user profiles that own their spaces, and with all their tags."""
    book = tags.read_tag_book(aws, "sagemaker:app", "sagemaker:space", "sagemaker:user-profile")
    owners = _owners(aws) if any(app.space for app in apps) else NotRead()
    owned = [_owned(app, owners) for app in apps]
    return [
        _tagged(
            app, book.of(app.target.arn), {word: book.of(arn) for word, arn in _above(app).items()}, owners
        )
        for app in owned
    ]


def read_app_tags(aws: Aws, app: StudioApp) -> StudioApp:
    """Return *app* with owner and current tags; it must have been described, for its ARN as AWS writes it."""
    owners = _owners(aws, DomainIdEquals=app.domain) if app.space else NotRead()
    owned = _owned(app, owners)
    above = _above(owned)
    own, *others = aws.map(
        lambda arn: tags.read_sagemaker_tags(aws, arn), [app.arn or app.target.arn, *above.values()]
    )
    return _tagged(owned, own, dict(zip(above, others, strict=True)), owners)


def _owners(aws: Aws, **only: str) -> SpaceOwners:
    spaces = sagemaker_kinds.list_kind(
        aws,
        sagemaker_kinds.SPACE,
        lambda space: (
            (space["DomainId"], space["SpaceName"]),
            space.get("OwnershipSettingsSummary", {}).get("OwnerUserProfileName"),
        ),
        **only,
    )
    if spaces.error is not None:
        return Unreadable(spaces.error, sagemaker_kinds.SPACE.lists)
    return Value(dict(spaces.items), sagemaker_kinds.SPACE.lists)


def _owned(app: StudioApp, owners: SpaceOwners) -> StudioApp:
    if app.space is None or not isinstance(owners, Value):
        return app
    return replace(app, profile=owners.value.get((app.domain, app.space)))


def _above(app: StudioApp) -> dict[str, str]:
    """Return the ARNs of the app's space and profile, the nearest first."""
    root = app.target.arn.partition(":app/")[0]
    named = {FROM_SPACE: ("space", app.space), FROM_PROFILE: ("user-profile", app.profile)}
    return {word: f"{root}:{kind}/{app.domain}/{name}" for word, (kind, name) in named.items() if name}


def _tagged(
    app: StudioApp, own: Signal[Tags], above: Mapping[str, Signal[Tags]], owners: SpaceOwners
) -> StudioApp:
    """Return *app* with its tags. If any source is unreadable, so are its tags: a keep tag may be there."""
    needed = [own, *above.values(), *([owners] if app.space else [])]
    broken = next((signal for signal in needed if isinstance(signal, Unreadable)), None)
    if broken is not None:
        return replace(app, target=replace(app.target, tags=broken))
    own_tags = own.value if isinstance(own, Value) else {}
    layers = {word: read.value for word, read in above.items() if isinstance(read, Value)}
    merged, inherited = inherit_tags(own_tags, layers)
    source = own.source if isinstance(own, Value) else ""
    return replace(app, target=replace(app.target, tags=Value(merged, source)), inherited=inherited)


def inherit_tags(own: Tags, above: Mapping[str, Tags]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """
    Merge *own* tags and those *above*, the nearest first; return them and the keys' origins.

    AWS copies the tags of a user profile to apps only when they start (API reference of AddTags): without
    this merge, later tags would be missed, and a postponed date would not count.
    Under one key the nearer value holds, unless the farther value keeps longer.
    """
    merged = dict(own)
    inherited = {}
    for word, those in above.items():
        taken = {
            key: value
            for key, value in those.items()
            if not _of_itself(key, value) and _counts(value, merged.get(key))
        }
        merged |= taken
        if taken:
            inherited[word] = tuple(sorted(taken))
    return merged, inherited


def _of_itself(key: str, value: str) -> bool:
    """Return whether a tag of a space or profile is about its own management, not about the app in it."""
    return (
        key.lower().startswith("aws:")
        or normalised_key(key) in MANAGER_KEYS
        or managing_tool(key, value) is not None
    )


def _counts(far: str, near: str | None) -> bool:
    """Return whether to use *far*: there is no nearer value, or the nearer value keeps for a shorter time."""
    if near is None:
        return True
    if (until := _day(near)) is not None:
        return (other := _day(far)) is None or other > until
    if near.strip().lower() in NEGATIONS:
        return far.strip().lower() not in NEGATIONS
    return far.strip().lower() == "true" and near.strip().lower() != "true"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None
