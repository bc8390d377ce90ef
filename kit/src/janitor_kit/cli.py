"""`janitor-kit launch`: a training job with hard limits, from a small file and flags."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from janitor_kit import jobs
from janitor_kit.launch import Job, Plan, Refused, launch, new_stamp, prepare

FAILED, REFUSED = 1, 2
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TIMES = ("max_runtime", "max_wait", "allowance", "keep_alive_period")
MONEY = ("max_usd", "price")
TABLES = (
    *("tags", "inputs", "hyperparameters", "environment", "bucket_regions", "request"),
    *("metric_definitions", "instance_groups"),
)
LISTS = ("also", "required_tags", "container_entrypoint", "container_arguments")
KINDS: Mapping[str, type] = {
    "spot": bool,
    "exec_script": bool,
    "retries": int,
    "instances": int,
    "volume_gb": int,
}
KIND_NAMES = {bool: "true or false", int: "a whole number", dict: "a table", str: "a text"}

# ruff: noqa: T201 - it prints

HELP = """\
Creates a SageMaker training job, and refuses one without a limit, required tags, what spot needs, or with
data in another region. The file is TOML (Python 3.11 or newer) or JSON:

  name = "churn"                        # becomes churn-20261006-030000-4f2a9c
  role = "arn:aws:iam::123456789012:role/training"
  image = "763104351884.dkr.ecr.us-east-1..."
  instance_type = "ml.g5.xlarge"
  source = "src"                        # packed and uploaded; beside this file
  entry = "train.py"
  output = "s3://bucket/models"
  checkpoints = "s3://bucket/checkpoints/{job}"   # without {job}, the next job resumes this one
  max_usd = 50                          # or max_runtime = "6h"
  max_wait = "2d"
  tags = { project = "churn", owner = "ana@example.com" }
  inputs = { train = "s3://bucket/data" }
  hyperparameters = { epochs = 10 }

Exit status: 0 launched (or, with --dry-run, it could be), 1 AWS failed, 2 refused.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="janitor-kit", description="Training jobs on SageMaker with hard limits."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    subcommand = commands.add_parser(
        "launch",
        help="create a training job with hard limits",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommand.add_argument("file", type=Path, help="the job, as TOML or JSON")
    subcommand.add_argument("--max-usd", metavar="USD", help="the most that it may cost")
    subcommand.add_argument("--max-runtime", metavar="TIME", help="the longest it may run: 90m, 6h, 2d")
    subcommand.add_argument("--max-wait", metavar="TIME", help="the longest with waiting for spot capacity")
    subcommand.add_argument("--on-demand", action="store_true", help="no spot")
    subcommand.add_argument("--price", metavar="USD", help="dollars for an hour of one instance")
    subcommand.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="a hyperparameter; repeatable"
    )
    subcommand.add_argument(
        "--tag", metavar="KEY=VALUE", action="append", default=[], help="a tag; repeatable"
    )
    subcommand.add_argument(
        "--bucket-region", metavar="BUCKET=REGION", action="append", default=[], help="where a bucket is"
    )
    subcommand.add_argument("--region", help="the job's region; else that of your AWS configuration")
    subcommand.add_argument(
        "--dry-run", action="store_true", help="check everything, create and upload nothing"
    )
    subcommand.add_argument("--json", action="store_true", help="the request and its estimate as JSON")
    subcommand.add_argument(
        "--continue-from", metavar="CHECKPOINT", help="go on from a checkpoint that another run wrote"
    )
    subcommand.add_argument("--wait", action="store_true", help="wait until the job has ended")
    for name, words, function in (
        ("list", "list training jobs, the newest first", jobs.print_jobs),
        ("logs", "print a job's logs", jobs.print_logs),
        ("stop", "stop a job", jobs.stop),
    ):
        other = commands.add_parser(name, help=words, description=words)
        if name == "list":
            other.add_argument("--name", metavar="TEXT", help="only names with this text")
            other.add_argument("--count", type=int, default=20, help="how many (20)")
        else:
            other.add_argument("job", help="the job's name")
        if name != "list":
            other.add_argument("--wait", action="store_true", help="go on until the job has ended")
        other.add_argument("--region", help="its region; else that of your AWS configuration")
        other.set_defaults(run=function)
    given = parser.parse_args(arguments)
    try:
        return _run_command(given)
    except Refused as refused:
        print(f"janitor-kit {given.command}: refused: {refused}", file=sys.stderr)
        return REFUSED


def _run_command(given: argparse.Namespace) -> int:
    """Run the command; an error of AWS is one line."""
    job = job_of(given) if given.command == "launch" else None
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
    except ImportError as error:
        raise Refused("boto3 is not installed: pip install boto3") from error
    try:
        session = boto3.Session(region_name=given.region)
        if job is None:
            ran: int = given.run(given, session)
            return ran
        stamp = new_stamp(datetime.now(timezone.utc))
        plan = prepare(job, session, stamp=stamp, environment=os.environ, folder=given.file.parent)
        if not given.json:
            print(described(plan, job))
        arn = None if given.dry_run else launch(job, plan, session)
        ended = jobs.wait(session, plan.name) if arn and given.wait else None
    except ClientError as error:
        problem = error.response["Error"]
        print(
            f"janitor-kit {given.command}: {error.operation_name}: {problem['Code']}: {problem['Message']}",
            file=sys.stderr,
        )
        return FAILED
    except BotoCoreError as error:
        advice = ": set AWS_PROFILE, or run `aws configure`" if isinstance(error, NoCredentialsError) else ""
        print(f"janitor-kit {given.command}: {error}{advice}", file=sys.stderr)
        return FAILED
    if given.json:
        print(json.dumps(as_json(plan, arn), indent=2))
    else:
        print("dry run: nothing was created" if arn is None else f"launched {arn}")
    return 0 if ended is None else jobs.exit_status(*ended)


# --- what is read --------------------------------------------------------------------------------


def job_of(given: argparse.Namespace) -> Job:
    """Build the file's job with the flags over it. Raises Refused."""
    members = read_settings(given.file)
    known = [setting.name for setting in fields(Job)]
    if unknown := [name for name in members if name not in known]:
        near = get_close_matches(unknown[0], known, 1)
        raise Refused(f"{given.file}: unknown: {unknown[0]}" + (f"; did you mean {near[0]}?" if near else ""))
    required = ("name", "role", "image", "output")
    if missing := [name for name in required if members.get(name) is None]:
        raise Refused(f"{given.file}: missing: {', '.join(missing)}")
    typed = {name: _typed(name, value, given.file.parent) for name, value in members.items()}
    job = Job(**({"tags": {}, "instance_type": None} | typed))
    flags: dict[str, Any] = {
        name: _typed(name, getattr(given, name), Path())
        for name in ("max_usd", "max_runtime", "max_wait", "price", "continue_from")
        if getattr(given, name) is not None
    }
    if given.on_demand:
        flags |= {"spot": False, "max_wait": None}
    flags["hyperparameters"] = {
        **job.hyperparameters,
        **{key: _value(text) for key, text in _pairs(given.set)},
    }
    flags["tags"] = {**job.tags, **dict(_pairs(given.tag))}
    flags["bucket_regions"] = {**job.bucket_regions, **dict(_pairs(given.bucket_region))}
    return replace(job, **flags)


def read_settings(path: Path) -> dict[str, Any]:
    """Read the file's members. Raises Refused."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    try:
        if path.suffix == ".json":
            members = json.loads(text)
        else:
            import tomllib

            members = tomllib.loads(text)
    except ImportError as error:
        raise Refused(f"{path}: TOML needs Python 3.11 or newer; write it as JSON") from error
    except ValueError as error:
        raise Refused(f"{path}: {error}") from error
    if not isinstance(members, dict):
        raise Refused(f"{path}: not a table")
    return members


def _typed(name: str, value: Any, folder: Path) -> Any:
    """Convert a setting's value to the form of `Job`; paths are beside the file. Raises Refused."""
    if name in TIMES:
        return seconds(name, value)
    if name in MONEY:
        try:
            return Decimal(str(value))
        except InvalidOperation:
            raise Refused(f"{name} is {value!r}: not a number") from None
    if name == "source":
        return value if str(value).startswith("s3://") else folder / str(value)
    if name in LISTS:
        if not isinstance(value, list):
            raise Refused(f"{name} is {value!r}: a list is needed")
        return tuple(folder / str(item) if name == "also" else str(item) for item in value)
    kind: Any = dict if name in TABLES else KINDS.get(name, str)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused(f"{name} is {value!r}: {KIND_NAMES[kind]} is needed")
    if name in ("tags", "environment", "bucket_regions", "metric_definitions"):
        return {key: str(item) for key, item in value.items()}
    return value


def seconds(name: str, value: Any) -> int:
    """Seconds of "90m", "6h", "2d" or a number. Raises Refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if (found := re.fullmatch(r"(\d+)\s*([smhd]?)", str(value).strip())) is None:
        raise Refused(f"{name} is {value!r}: write 90m, 6h, 2d or seconds")
    return int(found[1]) * UNITS[found[2] or "s"]


def _pairs(given: Sequence[str]) -> list[tuple[str, str]]:
    if wrong := [pair for pair in given if "=" not in pair]:
        raise Refused(f"{wrong[0]}: NAME=VALUE is needed")
    return [(key, value) for key, _, value in (pair.partition("=") for pair in given)]


def _value(text: str) -> Any:
    """Parse a hyperparameter's value: as JSON if it is JSON, else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- what is shown -------------------------------------------------------------------------------


def described(plan: Plan, job: Job) -> str:
    """Say the most that the job may cost, how that was computed, and what is not limited."""
    bound, kind = plan.bound, "spot" if job.spot else "on demand"
    machines = " + ".join(f"{count} x {each}" for each, count in job.machines.items())
    lines = [f"{plan.name} in {plan.region}: {machines}, {kind}"]
    limit = (
        f"limit {duration(bound.seconds)}, and {duration(bound.allowance)} for download, upload and SIGTERM"
    )
    priced = "hour of all instances" if job.instance_groups else "instance-hour"
    if bound.instance_usd is None:
        lines.append(f"  cost unknown: no price ({bound.source}); {limit}")
    else:
        lines += [
            f"  at most ${bound.at_most_usd}: {limit}, at ${bound.hourly_usd:.3f} an hour",
            (
                f"  ${bound.instance_usd:f} for an {priced} ({bound.source}), "
                f"${bound.volumes_usd:.3f} an hour for {sum(job.machines.values())} x {job.volume_gb} GB"
            ),
        ]
    return "\n".join([*lines, *(f"  not limited: {reason}" for reason in bound.unbounded)])


def duration(count: int) -> str:
    """Seconds as "6 h 40 min", "12 min", "45 s"."""
    if count < 60:
        return f"{count} s"
    hours, minutes = divmod(count // 60, 60)
    return " ".join(
        part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part
    )


def as_json(plan: Plan, arn: str | None) -> dict[str, Any]:
    """Return the estimate for programs; dollars are numbers, or null where a price is unknown."""
    bound = plan.bound

    def usd(amount: Decimal | None) -> float | None:
        return None if amount is None else float(amount)

    return {
        "arn": arn,
        "region": plan.region,
        "at_most_usd": usd(bound.at_most_usd),
        "usd_per_hour": usd(bound.hourly_usd),
        "instance_usd_per_hour": usd(bound.instance_usd),
        "price_source": bound.source,
        "limit_seconds": bound.seconds,
        "allowance_seconds": bound.allowance,
        "not_limited": list(bound.unbounded),
        "request": plan.request,
    }


if __name__ == "__main__":
    sys.exit(main())
