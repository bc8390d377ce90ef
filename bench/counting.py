"""Counts what one run of every function takes, on an account with a thousand endpoints, into counted.json."""

from __future__ import annotations

import io
import json
import os
import platform
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from aws_lambda_powertools.utilities import parameters
from rich.console import Console

from bench import functions
from bench.account import DAY, SIZES, seed
from bench.audit import audit
from bench.box import ACCOUNT, LATENCY, NOW, REGION, Box, timed
from bench.many_accounts import REGIONS
from bench.monthly import COUNTED, arming, bill, money, reading
from infra.bundle import cached_bundle
from ml_janitor import handlers
from ml_janitor.aws.client import open_regions
from ml_janitor.bill.explaining import read_known_resources
from ml_janitor.bill.reading import BILL_DAYS
from ml_janitor.config.functions import schedule_groups, sweeping_function
from ml_janitor.config.settings import Settings
from ml_janitor.detectors import DETECTORS
from ml_janitor_cli.replay import LocalContext, set_variables
from ml_janitor_cli.template.plan import deployment_plan
from ml_janitor_sandbox.demo import seed as seed_demo_account
from ml_janitor_sandbox.deployment import BUCKET, SECRET, SIGNING, TABLE, deploy
from ml_janitor_sandbox.emulator import ACCOUNT as EMULATED_ACCOUNT
from ml_janitor_sandbox.night import play
from ml_janitor_sandbox.slack import CHANNEL

ENDPOINTS = 1_000
DIGEST, BILL = "digest", "bill"
HANDLERS = {DIGEST: handlers.digest, BILL: handlers.bill}
"""Those that are not a detector's."""
REAL_TIME = "2026-10-06T03:00:00Z"
SLACK = {"slack_channel": CHANNEL, "slack_secret": SECRET}
BUTTONS = {"slack_signing_secret": SIGNING, "slack_group": "S0PLATFORM"}
NEEDED = {
    "duplicate-artifacts": {"act_on_prefixes": ["s3://models/"], "read_contents_in": ["models"]},
    "storage-tiering": {"act_on_buckets": ["models"]},
    "untagged-resources": {"fill_tags": {"team": "ml"}},
}
"""Without these an armed detector acts on nothing."""

ARMED = {
    detector.name: {"mode": "act", "act_in": [f"{ACCOUNT}/{REGION}"], **NEEDED.get(detector.name, {})}
    for detector in DETECTORS
    if detector.cleanup is not None
}
TO_ARM = {"time_zone": "America/New_York", "ledger_writers": [f"arn:aws:iam::{ACCOUNT}:role/platform"]}
SETTINGS = f'[janitor]\nslack_channel = "{CHANNEL}"\nslack_secret = "{SECRET}"\n'
STARTS = 3
LOG = io.StringIO()
"""The output of the functions: their logger keeps the first that it writes to."""


def main() -> None:
    """Count, keep, and print the bill."""
    made = count()
    COUNTED.write_text(json.dumps(made, indent=2) + "\n")
    whole = bill(made)
    print(f"a month for {ENDPOINTS:,} endpoints: {money(whole.total)}")
    for line, usd in whole.lines.items():
        print(f"  {money(usd):>16}  {line}")
    print(f"reading the bill adds {money(reading(made))}")
    print(f"arming all of it adds {money(arming(made))}")


def count() -> dict[str, Any]:
    """Everything that the bill is computed from."""
    signed = signing()
    parameters.clear_caches()  # type: ignore[no-untyped-call]  # its client knows the box that is gone
    with Box() as box, tempfile.TemporaryDirectory() as folder:
        stack = deployed()
        seed(box, endpoints=ENDPOINTS)
        metrics = requested_by_name(name for name in stack["memory"] if name != DIGEST)
        (Path(folder) / "janitor.toml").write_text(SETTINGS)
        variables = {**deploy(box.control.url), "AWS_REGION": REGION, "JANITOR_NOW": REAL_TIME}
        started = init_seconds(list(stack["memory"]), variables)
        with set_variables({**variables, "LAMBDA_TASK_ROOT": folder}):
            with redirect_stdout(LOG):
                counted = {name: runs(box, name) for name in stack["memory"]}
            for name, function in counted.items():
                function |= {
                    "schedule": stack["schedules"][name],
                    "memory_mb": stack["memory"][name],
                    "init_seconds": started[name],
                    "metrics_requested": metrics.get(name, 0),
                }
        sizes = {kind: number for kind, (number, _) in SIZES.items()} | {"endpoints": ENDPOINTS}
        items = [*every_item(box)]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.machine(),
        "latency_seconds": LATENCY,
        "account": sizes,
        "stack": {
            key: stack[key]
            for key in (
                *("alarms", "alarms_armed", "alarms_bill", "dashboards", "keys", "keys_armed"),
                *("log_days", "report_days"),
            )
        }
        | {"table_bytes": sum(map(size, items))},
        "bill": counted.pop(BILL),
        "functions": counted,
        "empty": empty([name for name in counted if name not in HANDLERS]),
        "signing": signed,
    }


def signing() -> dict[str, int]:
    """Count the calls to the signing keys, and the actions, of the three armed nights of `make night`."""
    with Box() as box, tempfile.TemporaryDirectory() as folder:
        seed_demo_account(box.control.url)
        variables = {**deploy(box.control.url), "AWS_REGION": REGION}
        _, played, calls = timed(
            box, lambda: play(box.control.url, variables, Console(file=io.StringIO()), Path(folder))
        )
    signed = {name: calls.get(f"kms:{name}", 0) for name in ("GenerateMac", "VerifyMac")}
    return {**signed, "actions": len(played.actions)}


def empty(names: list[str]) -> dict[str, Any]:
    """Count what each further region of an empty account adds to a run of each function."""
    alone, together = (swept_empty(names, regions) for regions in (1, REGIONS))
    further, found = REGIONS - 1, {}
    for name in names:
        before, after = alone[name], together[name]
        added = Counter(after["calls"])
        added.subtract(before["calls"])
        found[name] = {
            figure: round((after[figure] - before[figure]) / further, 4)
            for figure in ("seconds", "log_bytes", "report_bytes", "metrics_requested")
        } | {
            "init_seconds": 0,
            "transacted": 0,
            "calls": {call: times / further for call, times in added.items() if times},
        }
    return found


def swept_empty(names: list[str], regions: int) -> dict[str, dict[str, Any]]:
    """Count what a run of each function takes in so many empty regions."""
    swept = [REGION, *(each for each in boto3.Session().get_available_regions("sagemaker") if each != REGION)]
    with Box() as box, tempfile.TemporaryDirectory() as folder:
        box.control.set_clock(NOW)
        box.control.set_bill(enabled=True, hourly=True)  # else each region has its hours refused
        (Path(folder) / "janitor.toml").write_text(f"{SETTINGS}regions = {json.dumps(swept[:regions])}\n")
        variables = {**deploy(box.control.url), "AWS_REGION": REGION, "JANITOR_NOW": REAL_TIME}
        with set_variables({**variables, "LAMBDA_TASK_ROOT": folder}), redirect_stdout(LOG):
            return {name: runs(box, name) | {"metrics_requested": 0} for name in names}


def deployed() -> dict[str, Any]:
    """Count a default deployment's resources, and those that reading the bill and arming add."""
    settings = Settings.parse({"janitor": SLACK})
    of = synthesised(settings)
    billed = synthesised(Settings.parse({"janitor": SLACK, "bill": {"enabled": True}}))
    (of_bill,) = (
        function
        for function in billed("AWS::Lambda::Function")
        if function["Handler"] == f"ml_janitor.handlers.{BILL}"
    )
    armed = synthesised(
        Settings.parse({"janitor": {**SLACK, **BUTTONS, **TO_ARM}, "detectors": ARMED}),
    )
    by_name = {
        function["Environment"]["Variables"].get(
            "JANITOR_DETECTOR", function["Handler"].rpartition(".")[2]
        ): (function["MemorySize"])
        for function in of("AWS::Lambda::Function")
    }
    memory = {
        detector.name: by_name[sweeping_function(settings, detector.name)] for detector in settings.enabled()
    }
    memory |= {DIGEST: by_name[DIGEST], BILL: of_bill["MemorySize"]}
    schedules = {type(detector).name: settings.schedule(type(detector)) for detector in settings.enabled()}
    (bucket,) = of("AWS::S3::Bucket")
    return {
        "memory": memory,
        "schedules": schedules | {DIGEST: settings.janitor.digest_schedule, BILL: settings.bill.schedule},
        "alarms": len(of("AWS::CloudWatch::Alarm")),
        "alarms_armed": len(armed("AWS::CloudWatch::Alarm")),
        "alarms_bill": len(billed("AWS::CloudWatch::Alarm")),
        "dashboards": len(of("AWS::CloudWatch::Dashboard")),
        "keys": len(of("AWS::KMS::Key")),
        "keys_armed": len(armed("AWS::KMS::Key")),
        "log_days": max(group["RetentionInDays"] for group in of("AWS::Logs::LogGroup")),
        "report_days": bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"],
    }


def synthesised(settings: Settings) -> Callable[[str], list[dict[str, Any]]]:
    """Return a look-up of the properties of all resources of a type in the plan for *settings*."""
    plan = deployment_plan(settings, datetime.now(UTC).date(), name="Cost", code={})
    resources = plan["Resources"].values()
    return lambda kind: [resource["Properties"] for resource in resources if resource["Type"] == kind]


def requested_by_name(names: Iterable[str]) -> dict[str, float]:
    """Count the metrics of each function's run; detectors that run together divide those of their run."""
    found: dict[str, float] = {name: metrics_requested(name) for name in names}
    for group in schedule_groups(Settings.load()):
        if alone := sum(found[name] for name in group.detectors) if len(group.detectors) > 1 else 0:
            together = metrics_requested(*group.detectors)
            found |= {name: found[name] * together / alone for name in group.detectors}
    return found


def metrics_requested(*names: str) -> int:
    """Count the metrics that a run of *names* requests from GetMetricData, which AWS bills by metric."""
    session, asked = boto3.Session(region_name=REGION), []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(len(params["MetricDataQueries"]))

    session.events.register("provide-client-params.cloudwatch.GetMetricData", note)
    if names == (BILL,):
        problems = joined(session)
    else:
        detectors = [detector for detector in Settings.load().enabled() if detector.name in names]
        problems = [sweep.error for sweep in audit(session, detectors).sweeps if sweep.error]
    if problems:
        raise RuntimeError("; ".join(problems))
    return sum(asked)


def joined(session: boto3.Session) -> list[str]:
    """Read what the bill is joined with; the answer is what could not be read."""
    with open_regions(session, account=ACCOUNT, regions=[REGION], attempts=2, pace=None) as accounts:
        found = read_known_resources(
            accounts, since=NOW - BILL_DAYS * DAY, now=NOW, tag="", policy=Settings.load().policy, verdicts={}
        )
    return [gap.detail for gap in found.gaps]


def runs(box: Box, name: str) -> dict[str, Any]:
    """Count what the second run of a function takes, when the ledger knows all that the first run found."""
    os.environ["JANITOR_DETECTOR"] = "" if name in HANDLERS else name
    box.slow_down()
    reports = set(report_sizes(box))
    for minute in (58, 59):
        LOG.truncate(LOG.seek(0))
        seconds, _, calls = timed(box, lambda minute=minute: invoked(name, f"2026-10-06T02:{minute}:00Z"))
        before, reports = reports, set(report_sizes(box))
    box.control.clear_faults()
    lines = LOG.getvalue()
    items = [item for item in every_item(box) if item["pk"]["S"].startswith(f"finding#{name}#")]
    return {
        "seconds": round(seconds, 2),
        "calls": calls,
        "log_bytes": len(lines.encode()),
        "report_bytes": sum(length for _, length in reports - before),
        "largest_item": max(map(size, items), default=0),
        "findings_bytes": sum(map(size, items)),
        "transacted": len(items) if calls.get("dynamodb:TransactWriteItems") else 0,
    }


def invoked(name: str, time: str) -> dict[str, Any]:
    """One invocation, in this process."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:janitor"
    handler: Callable[..., dict[str, Any]] = HANDLERS.get(name, handlers.sweep)
    return handler({"time": time}, LocalContext(invoked_function_arn=arn))


def init_seconds(names: list[str], variables: dict[str, str]) -> dict[str, float]:
    """Measure how long Lambda's own runtime takes until it imported the handler, in the median."""
    machine: Any = "arm64" if platform.machine() == "aarch64" else "x86_64"
    bundle = cached_bundle(machine)
    found = {}
    for name in names:
        handler = f"ml_janitor.handlers.{name if name in HANDLERS else 'sweep'}"
        given = {key: said for key, said in os.environ.items() if key.startswith("AWS_")} | variables
        starts = [
            functions.initialised(bundle, handler, given | {"JANITOR_DETECTOR": name}) for _ in range(STARTS)
        ]
        found[name] = round(statistics.median(starts) / 1000, 3)
    return found


def report_sizes(box: Box) -> Iterator[tuple[str, int]]:
    """Every report that was kept, with its bytes."""
    pages = box.session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    for page in pages:
        yield from ((entry["Key"], entry["Size"]) for entry in page.get("Contents", []))


def every_item(box: Box) -> Iterator[dict[str, Any]]:
    """Read the whole ledger, as DynamoDB has it, without what cold starts left there."""
    for page in box.session.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE):
        yield from (item for item in page["Items"] if EMULATED_ACCOUNT not in item["pk"]["S"])


def size(item: dict[str, Any]) -> int:
    """Bytes of one item: its names and values, as DynamoDB counts them but for numbers."""
    return sum(len(name) + len(str(*value.values()).encode()) for name, value in item.items())


if __name__ == "__main__":
    main()
