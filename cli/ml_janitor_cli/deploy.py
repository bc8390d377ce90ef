"""`janitor deploy` and `janitor destroy`: the stack from the wheel, without a clone, CDK or Node."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ml_janitor.aws.calls import failure_text, make_client
from ml_janitor.aws.client import Caller
from ml_janitor.config.settings import SETTINGS_FILE, Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.text import count_noun, quote_shell
from ml_janitor_cli import edge
from ml_janitor_cli.disarming import keep_undos
from ml_janitor_cli.screen import Grid, make_console, print_blocks
from ml_janitor_cli.stack import DEPLOYERS_OUTPUT, KEY_TYPE, RELEASED_BUNDLE, STACK_NAME, TABLE_TYPE
from ml_janitor_cli.template.keys import CDK_ROLES
from ml_janitor_cli.template.member import write_member_roles
from ml_janitor_cli.template.plan import deployment_notes, deployment_plan, deployment_warnings

BUCKET_OUTPUT = "DeploymentBucket"
BUCKET_TYPE = "AWS::S3::Bucket"
IMPORTED_BY = {TABLE_TYPE: "TableName", KEY_TYPE: "KeyId", BUCKET_TYPE: "BucketName"}
"""The types of what outlives the stack, and the property by which CloudFormation imports each."""

BUCKET_PREFIX = "ml-janitor-deployments-"
BUNDLED_AT = (1980, 1, 1, 0, 0, 0)
"""The time of janitor.toml in the bundle: the same settings give the same bytes."""

POLL_SECONDS = 5
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")

StackName = Annotated[str, edge.option("NAME", "The stack.", "--stack")]
Region = Annotated[str | None, edge.option("REGION", "Where the stack is; else the profile's region.")]
Yes = Annotated[bool, edge.flag("--yes", "Do not ask.")]


# --- commands -------------------------------------------------------------------------------------


def deploy(
    *,
    bundle: Annotated[
        Path | None, edge.option("FILE", "The bundle of this release, which is an asset beside the wheel.")
    ] = None,
    dry_run: Annotated[bool, edge.flag("--dry-run", "Show what would change, and change nothing.")] = False,
    fresh: Annotated[
        bool, edge.flag("--fresh", "Create a new ledger, not taking over that of an earlier stack.")
    ] = False,
    revert: Annotated[bool, edge.flag("--revert", "Also restore what somebody changed by hand.")] = False,
    yes: Yes = False,
    stack: StackName = STACK_NAME,
    region: Region = None,
    profile: edge.Profile = None,
    config: Annotated[Path | None, edge.option("FILE", f"The settings; else ./{SETTINGS_FILE}.")] = None,
) -> int:
    """
    Create or update the stack from janitor.toml. Needs no clone and no Node.

    It uploads the bundle with your settings to a bucket of its own, shows what CloudFormation would change,
    and asks. A stack of `make deploy` is updated in place, and the other way round. The role that deploys may
    also change the policies of the ledger and its keys.

    Exit status: 0, deployed, or nothing to change; 1, AWS refused, or the deployment failed and was rolled
    back; 2, bad usage or settings.

    \b
    Examples:
      janitor deploy --bundle ml-janitor-lambda-0.2.0.zip --dry-run
      janitor deploy --bundle ml-janitor-lambda-0.2.0.zip
    """  # noqa: D301 - \b keeps the lines below it as they are
    source = config or Path(SETTINGS_FILE)
    settings = load_deployed_settings(source, demanded=config is not None)
    code = bundle_with_settings(bundle, source if source.exists() else None)
    place = open_place(profile, region)
    with edge.one_line_errors(f"stack {stack}"):
        status, outputs = read_stack(place, stack)
        if status is not None and keep_undos(place, stack, settings, source, yes=yes, dry_run=dry_run):
            settings = load_deployed_settings(source, demanded=True)
            code = bundle_with_settings(bundle, source)
        left = retained_resources(place, stack) if status is None and not fresh else {}
        for kind, physical in left.values():
            typer.echo(f"An earlier {stack} left {kind} {physical}: this deployment takes it over.")
        bucket = outputs.get(BUCKET_OUTPUT) or find_bucket(place)
        template = compose_template(settings, place, stack, code, bucket or new_bucket_name(place))
        if status is None and dry_run:
            return say_new(template, stack, place)
        upload(place, template, code, exists=bucket is not None)
        if left:
            if not (yes or edge.ask_yes(f"Make a stack of them in {place.where}?")):
                return 0
            take_over(place, stack, left)
        creates = status is None and not left
        changed = make_changes(place, template, creates=creates, dry_run=dry_run, yes=yes, revert=revert)
    if changed and settings.organization.used:
        written = write_member_roles(settings, Path(), edge.judging_time(None).date())
        typer.echo(f"Wrote {', '.join(map(str, written))}: the roles that each account grants.")
    if changed:
        target = "" if stack == STACK_NAME else f" --stack {quote_shell(stack)}"
        typer.echo(f"Next: AWS_DEFAULT_REGION={place.region} janitor doctor{target}")
    return 0


def destroy(
    *, yes: Yes = False, stack: StackName = STACK_NAME, region: Region = None, profile: edge.Profile = None
) -> int:
    """
    Remove the stack. The ledger, its keys and the reports stay; it names them.

    Exit status: 0, removed, or there is none; 1, AWS refused; 2, bad usage.
    """
    place = open_place(profile, region)
    with edge.one_line_errors(f"stack {stack}"):
        status, outputs = read_stack(place, stack)
        if status is None:
            typer.echo(f"There is no stack {stack} in {place.where}.")
            return 0
        resources = list_resources(place, stack)
        template = place.client("cloudformation").get_template(StackName=stack)["TemplateBody"]
        document = json.loads(template) if isinstance(template, str) else template
        kept = [
            f"{kind} {resources[logical][1]}"
            for logical, resource in document["Resources"].items()
            if resource.get("DeletionPolicy") == "Retain" and logical in resources
            for kind in [resource["Type"]]
        ]
        if bucket := outputs.get(BUCKET_OUTPUT):
            kept.append(f"{BUCKET_TYPE} {bucket} (bundles and templates)")
        typer.echo("\n".join(["These stay:", *(f"  {name}" for name in kept)]))
        if not yes and not edge.ask_yes(f"Remove the other resources of {stack} in {place.where}?"):
            return 0
        seen = event_ids(place, stack)
        place.client("cloudformation").delete_stack(StackName=stack)
        gone = wait_for(place, stack, seen, total=len(resources) - len(kept))
    if gone not in (None, "DELETE_COMPLETE"):
        raise edge.FailedError(f"stack {stack} is {gone}: {first_failure(place, stack, seen)}")
    typer.echo(f"Removed {stack}. `janitor docs operating` says how to remove the rest.")
    return 0


def load_deployed_settings(file: Path, *, demanded: bool) -> Settings:
    """Load the settings to deploy from *file*, which may be missing unless *demanded*."""
    try:
        return Settings.load(files=[file] if file.exists() or demanded else [], deploying=True)
    except InvalidInputError as error:
        raise edge.CommandRefusedError(str(error)) from error


# --- place ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlace:
    """An account and region to deploy to, with credentials of *caller*."""

    session: Any
    region: str
    caller: Caller
    attempts: int

    @property
    def where(self) -> str:
        """The place in words."""
        return f"account {self.caller.account}, {self.region}"

    def client(self, service: Any) -> Any:
        """Create a client."""
        return make_client(self.session, service, self.region, self.attempts)

    def deployers(self, listed: Sequence[str]) -> list[str]:
        """
        Return the ARNs of the caller as a policy compares them, unless they are *listed* already.

        The session of a role does not tell the role's path.
        """
        kind, _, name = self.caller.arn.rpartition(":")[2].partition("/")
        if kind != "assumed-role":
            return [self.caller.arn] if self.caller.arn not in listed else []
        partition, role = self.caller.arn.split(":")[1], name.partition("/")[0]
        if any(":role/" in arn and fnmatchcase(role, arn.rpartition("/")[2]) for arn in listed):
            return []
        return [f"arn:{partition}:iam::{self.caller.account}:role/{path}{role}" for path in ("", "*/")]


def open_place(profile: str | None, region: str | None) -> DeploymentPlace:
    """Identify the credentials and the region. Raises CommandRefusedError."""
    session, attempts = edge.open_session(profile), edge.read_attempts()
    chosen = (region or session.region_name or "").strip()
    if not chosen:
        raise edge.CommandRefusedError("no region: give --region, or set AWS_DEFAULT_REGION")
    caller = edge.require_caller(session, chosen, attempts)
    return DeploymentPlace(session=session, region=chosen, caller=caller, attempts=attempts)


# --- bundle and template --------------------------------------------------------------------------


def bundle_with_settings(bundle: Path | None, settings: Path | None) -> bytes:
    """Return the released *bundle* with the file *settings* in it. Raises CommandRefusedError."""
    expected = RELEASED_BUNDLE.read_text().split() if RELEASED_BUNDLE.exists() else []
    if bundle is None:
        named = expected[1] if expected else f"ml-janitor-lambda-{version('ml-janitor')}.zip"
        raise edge.CommandRefusedError(f"--bundle {named} is missing: it is an asset of the release")
    try:
        content = bundle.read_bytes()
    except OSError as error:
        raise edge.CommandRefusedError(f"--bundle: {bundle} cannot be read: {error.strerror}") from error
    if expected and hashlib.sha256(content).hexdigest() != expected[0]:
        raise edge.CommandRefusedError(
            f"--bundle: the SHA-256 of {bundle} is not that of {expected[1]}, the bundle of this release"
        )
    whole = BytesIO(content)
    if not zipfile.is_zipfile(whole):
        raise edge.CommandRefusedError(f"--bundle: {bundle} is not a zip file")
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as archive:
        if SETTINGS_FILE in archive.namelist():
            raise edge.CommandRefusedError(f"--bundle: {bundle} has a {SETTINGS_FILE} already")
        entry = zipfile.ZipInfo(SETTINGS_FILE, BUNDLED_AT)
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, settings.read_bytes() if settings else b"")
    return whole.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedTemplate:
    """The template of *stack* with its tags, and the *bucket* that holds it and the bundle *code_key*."""

    stack: str
    document: Mapping[str, Any]
    tags: Mapping[str, str]
    bucket: str
    code_key: str

    @property
    def text(self) -> bytes:
        """The template as it is uploaded."""
        return json.dumps(self.document, separators=(",", ":")).encode()

    @property
    def key(self) -> str:
        """Its name in the bucket."""
        return f"{hashlib.sha256(self.text).hexdigest()}.template.json"


def compose_template(
    settings: Settings, place: DeploymentPlace, stack: str, code: bytes, bucket: str
) -> ComposedTemplate:
    """Compose the template, and say what the operator should know. Raises CommandRefusedError."""
    key = f"{hashlib.sha256(code).hexdigest()}.zip"  # of all of it, the settings too
    deployers = place.deployers(settings.janitor.administrators)
    if deployers and settings.janitor.ledger_writers:
        typer.echo(
            f"janitor: warning: {deployers[0]} deploys, and so may change the policies of the ledger: "
            "list it in janitor.administrators",
            err=True,
        )
    try:
        document = deployment_plan(
            settings,
            edge.judging_time(None).date(),
            name=stack,
            code={"S3Bucket": bucket, "S3Key": key},
            deployers=[*CDK_ROLES, *deployers],
            account=place.caller.account,
        )
    except InvalidInputError as error:
        raise edge.CommandRefusedError(str(error)) from error
    document["Outputs"][BUCKET_OUTPUT] = {"Value": bucket}
    if deployers and settings.janitor.ledger_writers:
        document["Outputs"][DEPLOYERS_OUTPUT] = {"Value": " ".join(deployers)}
    for warnings in deployment_warnings(settings, account=place.caller.account, region=place.region).values():
        for warning in warnings:
            typer.echo(f"janitor: warning: {warning}", err=True)
    for note in deployment_notes(settings):
        typer.echo(f"janitor: {note}", err=True)
    return ComposedTemplate(
        stack=stack, document=document, tags=settings.janitor.tags, bucket=bucket, code_key=key
    )


def new_bucket_name(place: DeploymentPlace) -> str:
    """Return a name that nobody can take before us; the stack's outputs tell it to the next deployment."""
    return f"{BUCKET_PREFIX}{place.region}-{secrets.token_hex(8)}"


def find_bucket(place: DeploymentPlace) -> str | None:
    """Find the bucket of an earlier deployment to this region, whose stack does not name it."""
    prefix = f"{BUCKET_PREFIX}{place.region}-"
    pages = place.client("s3").get_paginator("list_buckets").paginate(Prefix=prefix)
    names = sorted(bucket["Name"] for page in pages for bucket in page.get("Buckets", ()))
    return next((name for name in names if name.startswith(prefix)), None)


def upload(place: DeploymentPlace, template: ComposedTemplate, code: bytes, *, exists: bool) -> None:
    """Upload template and bundle, unless they are there, into the bucket, which is created if need be."""
    store, named = place.client("s3"), {"Bucket": template.bucket}
    if not exists:
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
        store.create_bucket(**named, **({} if place.region == "us-east-1" else elsewhere))
    owned = {**named, "ExpectedBucketOwner": place.caller.account}
    for key, content in {template.key: template.text, template.code_key: code}.items():
        try:
            store.head_object(Key=key, **owned)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
                raise
            store.put_object(Key=key, Body=content, **owned)


# --- stack ----------------------------------------------------------------------------------------


def read_stack(place: DeploymentPlace, stack: str) -> tuple[str | None, dict[str, str]]:
    """Return the status of the stack and its outputs; None if there is none. Raises FailedError."""
    try:
        (found,) = place.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None, {}
        raise
    status, outputs = (
        found["StackStatus"],
        {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", ())},
    )
    if status in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):  # only planned, or gone
        return None, {}
    if status.endswith("_IN_PROGRESS"):
        raise edge.FailedError(f"stack {stack} is {status}: wait until it is done, then try again")
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        again = f"janitor destroy --stack {quote_shell(stack)}"
        raise edge.FailedError(f"stack {stack} is {status}, because its creation failed: {again}")
    return status, outputs


def list_resources(place: DeploymentPlace, stack: str) -> dict[str, tuple[str, str, str]]:
    """Return type, physical id and status of each resource, by logical id."""
    pages = place.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        found["LogicalResourceId"]: (
            found["ResourceType"],
            found.get("PhysicalResourceId", ""),
            found["ResourceStatus"],
        )
        for page in pages
        for found in page["StackResourceSummaries"]
    }


def retained_resources(place: DeploymentPlace, stack: str) -> dict[str, tuple[str, str]]:
    """Return type and physical id of what the latest deleted *stack* left, by logical id."""
    pages = (
        place.client("cloudformation")
        .get_paginator("list_stacks")
        .paginate(StackStatusFilter=["DELETE_COMPLETE"])
    )
    deleted = [found for page in pages for found in page["StackSummaries"] if found["StackName"] == stack]
    if not deleted:
        return {}
    latest = max(deleted, key=lambda found: found["CreationTime"])
    return {
        logical: (kind, physical)
        for logical, (kind, physical, status) in list_resources(place, latest["StackId"]).items()
        if status == "DELETE_SKIPPED" and is_there(place, kind, physical)
    }


def is_there(place: DeploymentPlace, kind: str, physical: str) -> bool:
    """Return whether a table, key or bucket still exists: somebody may have deleted it since."""
    try:
        if kind == TABLE_TYPE:
            place.client("dynamodb").describe_table(TableName=physical)
        elif kind == KEY_TYPE:
            state = place.client("kms").describe_key(KeyId=physical)["KeyMetadata"]["KeyState"]
            return str(state) != "PendingDeletion"
        elif kind == BUCKET_TYPE:
            owner = place.caller.account
            place.client("s3").head_bucket(Bucket=physical, ExpectedBucketOwner=owner)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ResourceNotFoundException", "NotFoundException", "404"):
            return False
        raise
    return kind in IMPORTED_BY


def take_over(place: DeploymentPlace, stack: str, left: Mapping[str, tuple[str, str]]) -> None:
    """
    Make a stack of the resources that are *left*; an import changes nothing in them.

    They stand there as a deployment that only reports has them: nothing in it refers to other resources.
    """
    code = {"S3Bucket": "", "S3Key": ""}
    plan = deployment_plan(Settings.parse({}), edge.judging_time(None).date(), name=stack, code=code)
    resources = {logical: plan["Resources"][logical] for logical in left}
    api = place.client("cloudformation")
    named = {"StackName": stack, "ChangeSetName": f"janitor-{secrets.token_hex(8)}"}
    api.create_change_set(
        **named,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps({"Resources": resources}),
        ResourcesToImport=[
            {
                "ResourceType": kind,
                "LogicalResourceId": logical,
                "ResourceIdentifier": {IMPORTED_BY[kind]: physical},
            }
            for logical, (kind, physical) in left.items()
        ],
    )
    wait_for_change_set(place, named)
    api.execute_change_set(**named)
    if (status := wait_for(place, stack, set(), total=len(left))) != "IMPORT_COMPLETE":
        why = first_failure(place, stack, set())
        raise edge.FailedError(f"stack {stack} is {status}: {why}; --fresh creates a new ledger")


def say_new(template: ComposedTemplate, stack: str, place: DeploymentPlace) -> int:
    """Say what a first deployment would create."""
    kinds = Counter(resource["Type"] for resource in template.document["Resources"].values())
    grid = Grid()
    for kind, count in sorted(kinds.items()):
        grid.add_row(kind, str(count))
    total = count_noun(kinds.total(), "resource")
    print_blocks([f"{stack} is not in {place.where}. A deployment would create {total}:", grid])
    return 0


def make_changes(
    place: DeploymentPlace,
    template: ComposedTemplate,
    *,
    creates: bool,
    dry_run: bool,
    yes: bool,
    revert: bool = False,
) -> bool:
    """
    Show the changes, make them if somebody wants it, and return whether that was done.

    With *revert*, CloudFormation compares what is there, and not only the templates.
    """
    api, stack = place.client("cloudformation"), template.stack
    named = {"StackName": stack, "ChangeSetName": f"janitor-{secrets.token_hex(8)}"}
    domain = "amazonaws.com.cn" if place.region.startswith("cn-") else "amazonaws.com"
    api.create_change_set(
        **named,
        ChangeSetType="CREATE" if creates else "UPDATE",
        TemplateURL=f"https://{template.bucket}.s3.{place.region}.{domain}/{template.key}",
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Tags=[{"Key": key, "Value": value} for key, value in template.tags.items()],
        **({"DeploymentMode": "REVERT_DRIFT"} if revert and not creates else {}),
    )
    changes = wait_for_change_set(place, named)
    if changes:
        print_blocks([f"Changes of {stack} in {place.where}:", draw_changes(changes)])
    else:
        typer.echo(f"{stack} in {place.where} is as the settings say: nothing to change.")
    if not changes or dry_run or not (yes or edge.ask_yes(f"Make these changes in {place.where}?")):
        api.delete_change_set(**named)
        return False
    seen = event_ids(place, stack)
    api.execute_change_set(**named)
    status = wait_for(place, stack, seen, total=len(changes))
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        before = "janitor destroy removes what is left" if creates else "the stack is as it was before"
        raise edge.FailedError(f"stack {stack} is {status}; {before}: {first_failure(place, stack, seen)}")
    typer.echo(f"Deployed {stack} to {place.where}.")
    return True


def wait_for_change_set(place: DeploymentPlace, named: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the changes, once CloudFormation has listed them. Raises FailedError."""
    api = place.client("cloudformation")
    while (answer := api.describe_change_set(**named))["Status"] in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
        edge.sleep(POLL_SECONDS)
    if answer["Status"] == "FAILED":
        reason = answer.get("StatusReason", "")
        if any(words in reason for words in NO_CHANGES):
            return []
        raise edge.FailedError(f"CloudFormation refuses the change: {reason}")
    changes: list[dict[str, Any]] = answer["Changes"]
    while token := answer.get("NextToken"):
        answer = api.describe_change_set(**named, NextToken=token)
        changes += answer["Changes"]
    return [change["ResourceChange"] for change in changes]


def draw_changes(changes: Sequence[Mapping[str, Any]]) -> Grid:
    """Draw a row for each change: what is replaced or removed first."""

    def action(change: Mapping[str, Any]) -> str:
        if change.get("Replacement") == "True":
            return "replace"
        return {"Add": "create", "Modify": "change", "Remove": "remove"}[change["Action"]]

    order = ("replace", "remove", "change", "create")
    grid = Grid()
    for change in sorted(changes, key=lambda c: (order.index(action(c)), c["LogicalResourceId"])):
        grid.add_row(action(change), change["ResourceType"], change["LogicalResourceId"])
    return grid


# --- waiting --------------------------------------------------------------------------------------


def stack_events(place: DeploymentPlace, stack: str, seen: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the events of the stack that were not *seen* before, latest first."""
    pages = place.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
    for page in pages:
        for event in page["StackEvents"]:
            if event["EventId"] in seen:
                return
            yield event


def event_ids(place: DeploymentPlace, stack: str) -> set[str]:
    """Return the ids of all events so far."""
    return {event["EventId"] for event in stack_events(place, stack, set())}


def wait_for(place: DeploymentPlace, stack: str, seen: set[str], *, total: int) -> str | None:
    """Wait with a progress bar until the stack is done; return its status, None once it is gone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=make_console(sys.stderr), transient=True, disable=hidden) as progress:
        bar = progress.add_task(stack, total=total)
        while True:
            try:
                (found,) = place.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
            status = str(found["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                return status
            done = {
                event["LogicalResourceId"]
                for event in stack_events(place, stack, seen)
                if event["ResourceStatus"].endswith(("_COMPLETE", "_SKIPPED"))
            }
            progress.update(bar, completed=min(len(done), total), description=f"{stack} {status}")
            edge.sleep(POLL_SECONDS)


def first_failure(place: DeploymentPlace, stack: str, seen: set[str]) -> str:
    """Return the first failure of the last deployment, in AWS's words."""
    try:
        failed = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason')}"
            for event in stack_events(place, stack, seen)
            if event["ResourceStatus"].endswith("_FAILED")
        ]
    except ClientError as error:
        return failure_text(error) or str(error)
    return failed[-1] if failed else "its events say why"
