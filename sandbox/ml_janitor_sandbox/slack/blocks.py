"""Slack's errors about a message's blocks: types, required and unknown fields, lengths, numbers, size.

Lengths and numbers are those of Slack's reference, which slack_sdk's models repeat; the wording is
that of `response_metadata.messages` in answers that people have published.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MOST_BLOCKS = 50
LONGEST_ID = 255
LONGEST_MESSAGE = 13_200
"""Undocumented; https://github.com/slackapi/bolt-js/issues/2509 measured about this much as JSON."""

FILE_ID = r"^[F][A-Z0-9]{8,}$"
"""https://github.com/slackapi/python-slack-sdk/issues/1521 quotes it."""

PLAIN, MRKDWN = "plain_text", "mrkdwn"
EITHER = (PLAIN, MRKDWN)

type Problems = Iterator[str]


def problems(blocks: Any) -> list[str]:
    """List everything that is wrong with *blocks*, in Slack's words; empty if nothing is."""
    if not isinstance(blocks, list):
        return [_error("must be an array", "/blocks")]
    found = []
    if len(blocks) > MOST_BLOCKS:
        found.append(_error(f"no more than {MOST_BLOCKS} items allowed", "/blocks"))
    for number, block in enumerate(blocks):
        found += _block(block, f"/blocks/{number}")
    return found + list(_ids(blocks))


def slack_files(blocks: Any) -> Iterator[tuple[str, str]]:
    """List the id of each file that a block shows, with its place."""
    for number, block in enumerate(_listed(blocks)):
        file = block.get("slack_file") if isinstance(block, dict) else None
        if isinstance(file, dict) and "id" in file:
            yield str(file["id"]), f"/blocks/{number}/slack_file"


def invalid_file(where: str) -> str:
    """Return Slack's error for a file that it cannot show: another's, no picture, or not looked at yet."""
    return _error("invalid slack file", where)


def too_long(blocks: Any) -> bool:
    """Tell whether all of them together are more than Slack takes (`msg_blocks_too_long`)."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) > LONGEST_MESSAGE


def _error(problem: str, where: str) -> str:
    return f"[ERROR] {problem} [json-pointer:{where}]"


def _block(block: Any, where: str) -> Problems:
    if not isinstance(block, dict):
        yield _error("must be an object", where)
        return
    rule = BLOCKS.get(str(block.get("type")))
    if rule is None:
        yield _error(f"unsupported type: {block.get('type')}", f"{where}/type")
        return
    fields, check = rule
    yield from _unknown(block, {"type", "block_id", *fields}, where)
    yield from check(block, where)


def _ids(blocks: Sequence[Any]) -> Problems:
    given = [block["block_id"] for block in blocks if isinstance(block, dict) and "block_id" in block]
    for number, block in enumerate(blocks):
        own = block.get("block_id") if isinstance(block, dict) else None
        if own is not None and not (isinstance(own, str) and 0 < len(own) <= LONGEST_ID):
            yield _error(f"must be less than {LONGEST_ID + 1} characters", f"/blocks/{number}/block_id")
    for own, times in Counter(map(str, given)).items():
        if times > 1:
            yield _error(f"`block_id` must be unique: {own}", "/blocks")


def _unknown(thing: dict[str, Any], known: set[str], where: str) -> Problems:
    for name in sorted(set(thing) - known):
        yield _error(f"invalid additional property: {name}", where)


def _section(block: dict[str, Any], where: str) -> Problems:
    if not block.get("text") and not block.get("fields"):
        yield _error("must define either `text` or `fields`", f"{where}/type")
    if "text" in block:
        yield from _text(block["text"], f"{where}/text", types=EITHER, longest=3000)
    if "fields" in block:
        yield from _items(block["fields"], f"{where}/fields", most=10)
        for number, field in enumerate(_listed(block["fields"])):
            yield from _text(field, f"{where}/fields/{number}", types=EITHER, longest=2000)
    if "accessory" in block:
        yield from _element(block["accessory"], f"{where}/accessory")


def _context(block: dict[str, Any], where: str) -> Problems:
    yield from _items(block.get("elements"), f"{where}/elements", most=10)
    for number, element in enumerate(_listed(block.get("elements"))):
        place = f"{where}/elements/{number}"
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image(element, place)
        else:
            yield from _text(element, place, types=EITHER, longest=3000)


def _actions(block: dict[str, Any], where: str) -> Problems:
    yield from _items(block.get("elements"), f"{where}/elements", most=25)
    for number, element in enumerate(_listed(block.get("elements"))):
        yield from _element(element, f"{where}/elements/{number}")


def _image(block: dict[str, Any], where: str) -> Problems:
    """Check an image: it has an address or a file of Slack's, and what is read aloud for it."""
    if ("image_url" in block) == ("slack_file" in block):
        yield _error("must define either `image_url` or `slack_file`", where)
    if "image_url" in block:
        yield from _string(block["image_url"], f"{where}/image_url", 3000)
    if "slack_file" in block:
        file = block["slack_file"]
        if not isinstance(file, dict) or len(set(file) & {"id", "url"}) != 1:
            yield _error("must define either `id` or `url`", f"{where}/slack_file")
        else:
            yield from _unknown(file, {"id", "url"}, f"{where}/slack_file")
            if "id" in file and not re.fullmatch(FILE_ID, str(file["id"])):
                yield _error(f"input must match regex pattern: {FILE_ID}", f"{where}/slack_file/id")
    yield from _string(block.get("alt_text"), f"{where}/alt_text", 2000)
    if "title" in block:
        yield from _text(block["title"], f"{where}/title", types=(PLAIN,), longest=2000)


def _element(element: Any, where: str) -> Problems:
    """Check a button, the one interactive element that is known here."""
    if not isinstance(element, dict) or element.get("type") not in {"button", "image"}:
        kind = element.get("type") if isinstance(element, dict) else None
        yield _error(f"unsupported type: {kind}", f"{where}/type")
        return
    if element["type"] == "image":
        yield from _image(element, where)
        return
    yield from _unknown(element, BUTTON, where)
    yield from _required(element, "text", where, types=(PLAIN,), longest=75)
    for name, longest in (("action_id", LONGEST_ID), ("value", 2000), ("url", 3000)):
        if name in element:
            yield from _string(element[name], f"{where}/{name}", longest)
    if element.get("style", "primary") not in {"primary", "danger"}:
        yield _error("must be one of primary, danger", f"{where}/style")
    if "confirm" in element:
        yield from _confirm(element["confirm"], f"{where}/confirm")


def _confirm(dialog: Any, where: str) -> Problems:
    if not isinstance(dialog, dict):
        yield _error("must be an object", where)
        return
    yield from _unknown(dialog, DIALOG, where)
    if dialog.get("style", "primary") not in {"primary", "danger"}:
        yield _error("must be one of primary, danger", f"{where}/style")
    for name, types, longest in (
        ("title", (PLAIN,), 100),
        ("text", EITHER, 300),
        ("confirm", (PLAIN,), 30),
        ("deny", (PLAIN,), 30),
    ):
        yield from _required(dialog, name, where, types=types, longest=longest)


def _required(
    thing: dict[str, Any], name: str, where: str, *, types: Sequence[str], longest: int
) -> Problems:
    if name not in thing:
        yield _error(f"missing required field: {name}", where)
    else:
        yield from _text(thing[name], f"{where}/{name}", types=types, longest=longest)


def _text(text: Any, where: str, *, types: Sequence[str], longest: int) -> Problems:
    if not isinstance(text, dict):
        yield _error("must be an object", where)
        return
    kind = text.get("type")
    if kind not in types:
        yield _error(f"must be one of {', '.join(types)}", f"{where}/type")
    extra = {PLAIN: {"emoji"}, MRKDWN: {"verbatim"}}.get(str(kind), set())
    yield from _unknown(text, {"type", "text", *extra}, where)
    yield from _string(text.get("text"), f"{where}/text", longest)


def _string(text: Any, where: str, longest: int) -> Problems:
    if not isinstance(text, str):
        yield _error("must be a string", where)
    elif not text:
        yield _error("must be more than 0 characters", where)
    elif len(text) > longest:
        yield _error(f"must be less than {longest + 1} characters", where)


def _items(items: Any, where: str, *, most: int) -> Problems:
    if not isinstance(items, list):
        yield _error("must be an array", where)
    elif not items:
        yield _error("no less than 1 items allowed", where)
    elif len(items) > most:
        yield _error(f"no more than {most} items allowed", where)


def _listed(items: Any) -> list[Any]:
    return items if isinstance(items, list) else []


BUTTON = {"type", "text", "action_id", "value", "url", "style", "confirm", "accessibility_label"}
DIALOG = {"title", "text", "confirm", "deny", "style"}
BLOCKS: dict[str, tuple[set[str], Callable[[dict[str, Any], str], Problems]]] = {
    "header": ({"text"}, lambda block, where: _required(block, "text", where, types=(PLAIN,), longest=150)),
    "section": ({"text", "fields", "accessory", "expand"}, _section),
    "divider": (set(), lambda _, __: iter(())),
    "context": ({"elements"}, _context),
    "actions": ({"elements"}, _actions),
    "image": ({"image_url", "slack_file", "alt_text", "title"}, _image),
}
"""The blocks that are known here, with their fields; any other is refused, as Slack refuses unknown ones."""
