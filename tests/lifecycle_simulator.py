"""
What S3 does to objects by a lifecycle configuration, day by day, and random configurations of others.

Written from the S3 User Guide alone ("How Amazon S3 handles conflicts in lifecycle configurations",
"Transitioning objects using Amazon S3 Lifecycle", "Lifecycle configuration elements"); it shares no line with
the program that it judges.
"""

import random
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
COSTS = {  # US East (N. Virginia), dollars a GB-month
    "STANDARD": 0.023,
    "INTELLIGENT_TIERING": 0.023,
    "STANDARD_IA": 0.0125,
    "ONEZONE_IA": 0.01,
    "GLACIER_IR": 0.004,
    "GLACIER": 0.0036,
    "DEEP_ARCHIVE": 0.00099,
}
LEADS_TO = {
    "STANDARD": {"STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "STANDARD_IA": {"INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "INTELLIGENT_TIERING": {"ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "ONEZONE_IA": {"GLACIER", "DEEP_ARCHIVE"},
    "GLACIER_IR": {"GLACIER", "DEEP_ARCHIVE"},
    "GLACIER": {"DEEP_ARCHIVE"},
    "DEEP_ARCHIVE": set(),
}
SMALL = 128 * 1024
NEVER = 10**6
OURS = "ml-janitor-"
"""How the names of the rules begin whose effect on the others is asked."""


@dataclass(frozen=True)
class Thing:
    """An object, or an upload that was never completed, of day 0; *replaced* by a newer version on a day."""

    key: str
    size: int
    tags: frozenset[tuple[str, str]] = frozenset()
    upload: bool = False
    versioned: bool = False
    replaced: int = NEVER
    newer: int = 0
    """How many noncurrent versions are newer than it once it is noncurrent."""


@dataclass
class Fate:
    """
    What became of a thing: each event with its day and the IDs of the rules that asked for it, and what it
    was at the end of its time as the current version, and of that as an old one.
    """

    events: list[tuple[int, str, frozenset[str]]] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)


def rules_of(text: str) -> list[ET.Element]:
    """The rules of a configuration, by names without namespace."""
    whole = ET.fromstring(text)  # noqa: S314 - it comes from tests
    for one in whole.iter():
        one.tag = one.tag.rpartition("}")[2]
    return list(whole)


def matches(rule: ET.Element, thing: Thing) -> bool:
    """Whether *rule* is in force for *thing*."""
    if rule.findtext("Status") != "Enabled":
        return False
    prefix = (
        rule.findtext("Prefix") or rule.findtext("Filter/Prefix") or rule.findtext("Filter/And/Prefix") or ""
    )
    tags = {(tag.findtext("Key") or "", tag.findtext("Value") or "") for tag in rule.iter("Tag")}
    larger = int(next((one.text or "" for one in rule.iter("ObjectSizeGreaterThan")), "-1"))
    smaller = int(next((one.text or "" for one in rule.iter("ObjectSizeLessThan")), str(2**60)))
    return thing.key.startswith(prefix) and tags <= thing.tags and larger < thing.size < smaller


def is_ours(name: str | None) -> bool:
    """Whether a rule of that name is one of ours."""
    return (name or "").startswith(OURS)


def sized(rule: ET.Element) -> bool:
    """Whether its filter has a size, which takes the place of the default minimum."""
    return any("Size" in one.tag for one in rule.iter())


def fate(thing: Thing, rules: Sequence[ET.Element], minimum: str, *, ours: int, theirs: int) -> Fate:
    """What becomes of *thing*; our own rules are in force from the day *ours* on, others from *theirs*."""
    fitting = [rule for rule in rules if matches(rule, thing)]
    days = {0, ours, theirs, thing.replaced}
    for rule in fitting:
        numbers = [int(one.text or 0) for one in rule.iter() if one.tag.endswith(("Days", "Initiation"))]
        days |= {number + base for number in numbers for base in (0, thing.replaced)}
    known = Fate()
    state, noncurrent, queue, was = "STANDARD", NEVER, sorted(days), -1
    phase = "upload" if thing.upload else "current"
    while queue:
        day = queue.pop(0)
        if day <= was or day > NEVER:
            continue
        was = day
        if phase == "current" and day >= thing.replaced:
            known.ends["current"], phase, noncurrent = state, "old", thing.replaced
        active = [one for one in fitting if day >= (ours if is_ours(one.findtext("ID")) else theirs)]
        age = day - (noncurrent if phase == "old" else 0)
        event = _event(thing, active, minimum, state=state, phase=phase, age=age)
        if event is None:
            continue
        what, by = event
        known.events.append((day, f"{phase} {what}", by))
        if what == "deleted" and phase == "current" and thing.versioned:
            known.ends["current"], phase, noncurrent = "hidden", "old", day
            later = {int(one.text or 0) for rule in fitting for one in rule.iter("NoncurrentDays")}
            queue = sorted({*queue, day + 1, *(day + one for one in later)})
        elif what == "deleted":
            known.ends[phase] = "deleted"
            return known
        else:
            state = what
            queue = sorted({*queue, day + 1})
    known.ends[phase] = state
    return known


def _event(
    thing: Thing, rules: Sequence[ET.Element], minimum: str, *, state: str, phase: str, age: int
) -> tuple[str, frozenset[str]] | None:
    """The one thing that S3 does on a day, and which rules asked for just that; None if it does nothing."""
    if phase == "upload":
        ends = _asking(rules, "AbortIncompleteMultipartUpload", "DaysAfterInitiation", age)
        return ("deleted", frozenset(ends)) if ends else None
    old = phase == "old"
    expires = "NoncurrentVersionExpiration" if old else "Expiration"
    ends = _asking(rules, expires, "NoncurrentDays" if old else "Days", age, thing.newer)
    moves = _moves(thing, rules, minimum, state, age, old=old)
    if ends and (old or not thing.versioned or not moves):  # a move comes before a delete marker
        return "deleted", frozenset(ends)
    if not moves:
        return None
    if "INTELLIGENT_TIERING" in moves and not {"GLACIER", "DEEP_ARCHIVE"} & moves.keys():
        chosen = "INTELLIGENT_TIERING"
    else:
        chosen = min(moves, key=lambda name: COSTS[name])
    return chosen, frozenset(moves[chosen])


def _asking(rules: Sequence[ET.Element], action: str, unit: str, age: int, newer: int = 0) -> set[str]:
    """The rules that ask for *action* at that *age*, those with the fewest days alone."""
    found: dict[int, set[str]] = {}
    for rule in rules:
        for one in rule.iterfind(action):
            days = one.findtext(unit)
            kept = int(one.findtext("NewerNoncurrentVersions") or 0)
            if days is not None and age >= int(days) and newer >= kept:
                found.setdefault(int(days), set()).add(rule.findtext("ID") or "")
    return found[min(found)] if found else set()


def _moves(
    thing: Thing, rules: Sequence[ET.Element], minimum: str, state: str, age: int, *, old: bool
) -> dict[str, set[str]]:
    """The classes to which *thing* may be moved now, and by which rules."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        for one in rule.iterfind("NoncurrentVersionTransition" if old else "Transition"):
            name, days = one.findtext("StorageClass") or "", one.findtext("NoncurrentDays" if old else "Days")
            kept = int(one.findtext("NewerNoncurrentVersions") or 0)
            if days is None or age < int(days) or thing.newer < kept or name not in LEADS_TO[state]:
                continue
            archives = minimum == "varies_by_storage_class" and name in {"GLACIER", "DEEP_ARCHIVE"}
            if thing.size >= SMALL or sized(rule) or archives:
                found.setdefault(name, set()).add(rule.findtext("ID") or "")
    return found


def things(prefixes: Collection[str]) -> Iterator[Thing]:
    """Objects and uploads of many kinds under each of *prefixes*."""
    tags = (frozenset[tuple[str, str]](), frozenset({("keep", "no"), ("kind", "tmp")}))
    for prefix, size, tagged in product(sorted(prefixes), (1, SMALL, 10**9), tags):
        key = f"{prefix}x"
        yield Thing(key, size, tagged)
        yield Thing(key, size, tagged, versioned=True)
        for replaced, newer in ((0, 0), (1, 1), (45, 0), (100, 5), (400, 0)):
            yield Thing(key, size, tagged, versioned=True, replaced=replaced, newer=newer)
        if not tagged:
            yield Thing(key, size, upload=True)


def changed(
    before: str, after: str, minimum: str, prefixes: Collection[str], *, ours: int, theirs: int = 0
) -> str | None:
    """
    What the rules of *before* did to something that they do not do in *after*, or None.

    Each of their events has to be there on its day and asked for by one of them, there are no others of
    theirs, and what they acted on last ends as it did. Where their rules are as new as ours, buckets with
    versions are left out: there, a move puts the first delete marker off by a day.
    """
    old, new = rules_of(before), rules_of(after)
    for thing in things(prefixes):
        if theirs and thing.versioned:
            continue
        was, now = (fate(thing, rules, minimum, ours=ours, theirs=theirs) for rules in (old, new))
        kept = [(day, what) for day, what, by in now.events if not all(map(is_ours, by))]
        if kept != [(day, what) for day, what, _ in was.events]:
            return f"{thing}: {was.events} became {now.events}"
        for phase in {what.partition(" ")[0] for _, what, _ in was.events}:
            if now.ends.get(phase) != was.ends.get(phase):
                return f"{thing}: it ended as {now.ends}, not {was.ends}"
    return None


# --- the configurations of others ----------------------------------------------------------------

PREFIXES = ("", "logs/", "logs/app/", "tmp/", "experiments/", "a<b>&c/", "datasets/raw/", "ü/")
WAYS = (
    (),
    ("STANDARD_IA",),
    ("GLACIER_IR",),
    ("GLACIER",),
    ("DEEP_ARCHIVE",),
    ("INTELLIGENT_TIERING",),
    ("STANDARD_IA", "GLACIER"),
    ("ONEZONE_IA", "DEEP_ARCHIVE"),
)


def random_text(chance: random.Random, most: int = 6) -> str:
    """A configuration that S3 would answer, in one of the ways in which its text may be set out."""
    rules = [_random_rule(chance, number) for number in range(chance.randint(1, most))]
    gap = chance.choice(("", "", "\n", "\n  "))
    head = chance.choice(
        ("", '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0" encoding="UTF-8"?>\n')
    )
    inner = f"{gap}{gap.join(rules)}{gap}"
    return f'{head}<LifecycleConfiguration xmlns="{NAMESPACE}">{inner}</LifecycleConfiguration>'


def _random_rule(chance: random.Random, number: int) -> str:
    by_filter, plain = _random_filter(chance)
    status = chance.choice(("Enabled",) * 5 + ("Disabled",))
    parts = [_leaf("ID", f"rule {number} <&> ü"), by_filter, _leaf("Status", status)]
    last = 0
    for name in chance.choice(WAYS):
        last = max(last + 30, chance.choice((30, 60, 90, 180)))
        parts.append(f"<Transition>{_leaf('Days', last)}{_leaf('StorageClass', name)}</Transition>")
    if chance.random() < 0.4:
        days = last + chance.choice((1, 30, 300))
        marker = chance.random() < 0.2
        inner = _leaf("ExpiredObjectDeleteMarker", "true") if marker else _leaf("Days", days)
        parts.append(f"<Expiration>{inner}</Expiration>")
    if chance.random() < 0.25:
        newer = _leaf("NewerNoncurrentVersions", 3) if chance.random() < 0.3 else ""
        days = chance.choice((1, 14, 30, 90))
        inner = f"{newer}{_leaf('NoncurrentDays', days)}"
        parts.append(f"<NoncurrentVersionExpiration>{inner}</NoncurrentVersionExpiration>")
    elif chance.random() < 0.2:
        inner = (
            f"{_leaf('NoncurrentDays', 30)}{_leaf('StorageClass', chance.choice(('GLACIER', 'STANDARD_IA')))}"
        )
        parts.append(f"<NoncurrentVersionTransition>{inner}</NoncurrentVersionTransition>")
    if plain and (len(parts) == 3 or chance.random() < 0.2):
        inner = _leaf("DaysAfterInitiation", chance.choice((1, 7, 14)))
        parts.append(f"<AbortIncompleteMultipartUpload>{inner}</AbortIncompleteMultipartUpload>")
    if len(parts) == 3:
        parts.append(f"<Expiration>{_leaf('Days', 500)}</Expiration>")
    chance.shuffle(parts)
    gap = chance.choice(("", "", "\n    "))
    return f"<Rule>{gap}{gap.join(parts)}{gap}</Rule>"


def _random_filter(chance: random.Random) -> tuple[str, bool]:
    """A filter, and whether it is of a prefix alone."""
    prefix = chance.choice(PREFIXES)
    tag = f"<Tag>{_leaf('Key', 'keep')}{_leaf('Value', 'no')}</Tag>"
    size = _leaf("ObjectSizeGreaterThan", chance.choice((0, 500, 10**6)))
    kind = chance.choice(("prefix",) * 5 + ("all", "tag", "size", "and"))
    inner = {
        "prefix": _leaf("Prefix", prefix),
        "all": "",
        "tag": tag,
        "size": size,
        "and": f"<And>{_leaf('Prefix', prefix)}{chance.choice((tag, size, tag + size))}</And>",
    }[kind]
    return (f"<Filter>{inner}</Filter>" if inner else "<Filter/>"), kind in {"prefix", "all"}


def _leaf(name: str, value: str | int) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"
