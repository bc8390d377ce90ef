"""
Accounts that are charged for known causes, and Cost Explorer's answers about them on any morning.

A source of charges is a resource with a life, or usage without one: a batch, a commitment, a credit. Nothing
here comes from the sandbox's meters or from the program: the truth is made first, and the bill from it.
"""

import random
from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

from conftest import ACCOUNT
from ml_janitor.aws.cost_explorer import CostExplorer, CostPrediction, CostRow
from ml_janitor.aws.runs import ResourceRun
from ml_janitor.bill.model import Bill, Culprit
from ml_janitor.bill.reading import BillAccounts, BillQuestion, BillRequest, read_bill
from ml_janitor.bill.report import BillReport, make_bill_report
from ml_janitor.bill.resources import BillResource
from ml_janitor.core.commitment import family_name

DAY, ZERO = timedelta(days=1), Decimal(0)
TAGS = {"project": "project", "owner": "owner"}
SAGEMAKER, S3, EC2 = "Amazon SageMaker", "Amazon Simple Storage Service", "EC2 - Other"
HOURLY = {
    "ml.m5.xlarge": 0.23,
    "ml.g5.xlarge": 1.408,
    "ml.g5.12xlarge": 7.09,
    "ml.p4d.24xlarge": 37.688,
    "ml.t3.medium": 0.05,
}
METERS = {
    "endpoint": "Host:",
    "training-job": "Train:",
    "processing-job": "Processing:",
    "notebook-instance": "Notebk:",
    "app": "Studio:JupyterLab-",
}
CODES = {"us-east-1": "USE1", "eu-west-1": "EU", "eu-central-1": "EUC1"}

EGRESS = (EC2, "USE1-DataTransfer-Out-Bytes", "GB", 0.09)
NAT = (EC2, "USE1-NatGateway-Bytes", "GB", 0.045)
CROSS_REGION = (EC2, "USE1-EUC1-AWS-Out-Bytes", "GB", 0.02)
LOGS = ("AmazonCloudWatch", "USE1-DataProcessing-Bytes", "GB", 0.5)
STORED = (S3, "USE1-TimedStorage-ByteHrs", "GB-Mo", 0.023)
REQUESTS = (S3, "USE1-Requests-Tier1", "Requests", 0.000005)
HYPERPOD = (SAGEMAKER, "USE1-Cluster:ml.g5.12xlarge", "Hrs", 7.09)
WARM_POOL = (SAGEMAKER, "USE1-TrainWarmPool:ml.g5.xlarge", "Hrs", 1.408)
SERVERLESS = (SAGEMAKER, "USE1-ServerlessInf:Mem-4GB", "Seconds", 0.00008)
SCALED_HOST = (SAGEMAKER, "USE1-Host:ml.m5.xlarge", "Hrs", 0.23)
IMAGES = ("Amazon EC2 Container Registry (ECR)", "USE1-TimedStorage-ByteHrs-ECR", "GB-Mo", 0.1)
MARKETPLACE = ("Vendor Model", "MP:USE1-prod-abc123", "Units", 1.0)

type Meter = tuple[str, str, str, float]
"""Service, usage type, unit and price."""


class LedgerRow(NamedTuple):
    """What one source was charged on one day."""

    day: date
    service: str
    usage_type: str
    project: str
    owner: str
    usd: Decimal
    amortized: Decimal
    quantity: Decimal
    unit: str
    record: str = "Usage"
    account: str = ACCOUNT


def exact(amount: float) -> Decimal:
    """Round an amount as Cost Explorer does."""
    return Decimal(f"{amount:.10f}")


def latest[T](steps: Iterable[tuple[date, T]], day: date, first: T) -> T:
    """Return the value of the last of *steps* that has come on *day*."""
    for begins, value in steps:
        if begins <= day:
            first = value
    return first


@dataclass(kw_only=True)
class Life:
    """A resource that is billed by the hour from *start* until *end*."""

    name: str
    start: datetime
    end: datetime | None = None
    kind: str = "endpoint"
    instance: str = "ml.g5.xlarge"
    project: str = "churn"
    owner: str = ""
    region: str = "us-east-1"
    account: str = ACCOUNT
    count: int = 1
    scaled: Sequence[tuple[date, int]] = ()
    moved: Sequence[tuple[date, str]] = ()
    repriced: Sequence[tuple[date, float]] = ()
    detector: str = ""
    known: bool = True

    @property
    def usage_type(self) -> str:
        return f"{CODES.get(self.region, 'USW2')}-{METERS[self.kind]}{self.instance}"

    def rows(self, day: date) -> Iterator[LedgerRow]:
        midnight = datetime.combine(day, time(), UTC)
        ends = midnight + DAY if self.end is None else min(self.end, midnight + DAY)
        if (hours := (ends - max(self.start, midnight)).total_seconds() / 3600) > 0:
            hours *= latest(self.scaled, day, self.count)
            usd = exact(hours * HOURLY[self.instance] * latest(self.repriced, day, 1.0))
            project = latest(self.moved, day, self.project)
            yield LedgerRow(
                *(day, SAGEMAKER, self.usage_type, project, self.owner, usd, usd, exact(hours), "Hrs"),
                account=self.account,
            )

    def resource(self) -> BillResource:
        """Return what the janitor knows about it."""
        steps = [(self.start, self.count)]
        steps += [(datetime.combine(day, time(), UTC), count) for day, count in self.scaled]
        ends = [begins for begins, _ in steps[1:]] + [self.end]
        runs = (
            ResourceRun(usage_type=self.usage_type, start=begins, end=until, hourly=Decimal(count))
            for (begins, count), until in zip(steps, ends, strict=True)
        )
        arn = f"arn:aws:sagemaker:{self.region}:{self.account}:{self.kind}/{self.name}"
        culprit = Culprit(
            arn=arn,
            name=self.name,
            kind=self.kind,
            owner=self.owner or None,
            since=self.start,
            ended=self.end,
            detector=self.detector,
            finding="f" * bool(self.detector),
        )
        project = self.moved[-1][1] if self.moved else self.project
        return BillResource(culprit=culprit, runs=tuple(runs), tag=project, family=family_name(self.name))


@dataclass(kw_only=True)
class Flow:
    """Usage without a resource: about *usd* a day, times a weekday's factor, a step's and a noise."""

    meter: Meter
    usd: float
    project: str = "churn"
    owner: str = ""
    noise: float = 0.0
    weekend: float = 1.0
    steps: Sequence[tuple[date, float]] = ()
    repriced: Sequence[tuple[date, float]] = ()
    batch: str = ""
    record: str = "Usage"
    account: str = ACCOUNT
    seed: str = ""
    _drawn: dict[date, float] = field(default_factory=dict)
    _draw: random.Random | None = None

    def noise_of(self, day: date) -> float:
        """Return the factor of a day, drawn once, in the order of the days."""
        if day not in self._drawn:
            self._draw = self._draw or random.Random(f"{self.seed} {self.meter[1]}")  # noqa: S311
            self._drawn[day] = max(self._draw.gauss(1, self.noise), 0.0)
        return self._drawn[day]

    def rows(self, day: date) -> Iterator[LedgerRow]:
        service, usage_type, unit, price = self.meter
        due = {
            "": True,
            "last": day.day == monthrange(day.year, day.month)[1],
            "first": day.day == 1,
            "weekly": day.weekday() == 0,
        }
        if not due[self.batch]:
            return
        level = self.usd * latest(self.steps, day, 1.0) * (self.weekend if day.weekday() >= 5 else 1.0)
        if self.noise:
            level *= self.noise_of(day)
        if unit == "GB-Mo":  # a month is divided by its days
            level *= 30 / monthrange(day.year, day.month)[1]
        usd = exact(level * latest(self.repriced, day, 1.0))
        if usd:
            yield LedgerRow(
                *(day, service, usage_type, self.project, self.owner, usd, usd, exact(level / price), unit),
                *(self.record, self.account),
            )


type Source = Life | Flow


@dataclass
class ChargedAccount:
    """An account with its *sources* from *first* until *until*; *names* are accounts of a shared bill."""

    first: date
    until: date
    sources: list[Source] = field(default_factory=list)
    names: Mapping[str, str] = field(default_factory=dict)
    _ledger: dict[date, list[LedgerRow]] = field(default_factory=dict)

    def ledger(self, day: date) -> list[LedgerRow]:
        if not self._ledger:
            days = [self.first + number * DAY for number in range((self.until - self.first).days)]
            self._ledger = {day: [] for day in days}
            for source in self.sources:
                begins, ends = (
                    (source.start.date(), source.end) if isinstance(source, Life) else (self.first, None)
                )
                last = min(self.until, ends.date() + DAY) if ends else self.until
                begins = max(begins, self.first)
                for number in range((last - begins).days):
                    self._ledger[begins + number * DAY] += source.rows(begins + number * DAY)
        return self._ledger.get(day, [])

    def bill(self, now: datetime, *, days: int = 65, unsettled: float = 0.4, **more: Any) -> Bill:
        """Read the bill as of *now*; of the day before, *unsettled* is there."""
        explorer = PaperExplorer(self, now.date(), unsettled)
        accounts = BillAccounts(names=self.names) if self.names else None
        wanted = BillRequest(days=days, tags=TAGS, accounts=accounts, settling_days=2, **more)
        return read_bill(cast("CostExplorer", explorer), wanted, account=ACCOUNT, now=now)

    def resources(self, now: datetime) -> list[BillResource]:
        known = [source for source in self.sources if isinstance(source, Life) and source.known]
        first = now - 65 * DAY
        return [
            life.resource()
            for life in known
            if life.start < now and (life.end is None or life.end > first) and life.region in CODES
        ]

    def report(self, now: datetime, bill: Bill | None = None) -> BillReport:
        """Return what the janitor says about the bill on that morning."""
        question = BillQuestion(days=30, settling_days=2, tags=tuple(TAGS))
        read = bill or self.bill(now)
        found = self.resources(now)
        return make_bill_report(read, question, resources=found, looked_at=list(CODES))


@dataclass
class PaperExplorer:
    """Cost Explorer over an account's ledger, as it answers on the day *today*."""

    account: ChargedAccount
    today: date
    unsettled: float
    requests: int = 0
    left: int = 100
    account_names: dict[str, str] = field(default_factory=dict)

    def daily(
        self,
        first: date,
        until: date,
        *groups: Mapping[str, str],
        without: Sequence[str] = (),
        services: Sequence[str] = (),
        where: Sequence[Any] = (),
        granularity: str = "DAILY",
        **_: Any,
    ) -> list[CostRow]:
        self.requests += 1
        members = {"SERVICE": "service", "USAGE_TYPE": "usage_type", "RECORD_TYPE": "record"}
        members |= {"LINKED_ACCOUNT": "account", **TAGS}
        chosen = [(group["Key"], group["Type"] == "TAG", members[group["Key"]]) for group in groups]
        accounts = [part["Dimensions"]["Values"] for part in where]
        cells: dict[tuple[date, tuple[str, ...]], list[Any]] = {}
        for number in range((until - first).days):
            day = first + number * DAY
            share = exact(self.unsettled) if day >= self.today - DAY else None
            period = day.replace(day=1) if granularity == "MONTHLY" else day
            for row in self.account.ledger(day):
                if row.record in without or (services and row.service not in services):
                    continue
                if any(row.account not in some for some in accounts):
                    continue
                keys = tuple(
                    f"{key}${getattr(row, member)}" if is_tag else getattr(row, member)
                    for key, is_tag, member in chosen
                )
                cell = cells.setdefault((max(period, first), keys), [ZERO, ZERO, ZERO, row.unit])
                for place, amount in enumerate((row.usd, row.amortized, row.quantity)):
                    cell[place] += amount if share is None else amount * share
        return [
            CostRow(
                day=day,
                keys=keys,
                unblended=usd,
                amortized=spread,
                quantity=units,
                unit=unit,
                estimated=day >= self.today - 2 * DAY,
            )
            for (day, keys), (usd, spread, units, unit) in cells.items()
            if usd or spread or share != ZERO
        ]

    def monthly(self, *given: Any, **more: Any) -> list[CostRow]:
        return self.daily(*given, granularity="MONTHLY", **more)

    def forecast(self, first: date, until: date, **_: Any) -> CostPrediction:
        self.requests += 1
        past = [row.usd for number in range(2, 30) for row in self.account.ledger(first - number * DAY)]
        usd = sum(past, ZERO) / 28 * (until - first).days
        return CostPrediction(usd=usd, low=usd, high=usd)


# --- steady accounts --------------------------------------------------------------------------

PROJECTS = ("churn", "fraud", "llm", "vision", "search")
NOISY_METERS = (
    *(EGRESS, NAT, CROSS_REGION, LOGS, STORED, REQUESTS),
    *(HYPERPOD, WARM_POOL, SERVERLESS, SCALED_HOST, IMAGES, MARKETPLACE),
)


def owner_of(project: str) -> str:
    return f"{project}-lead@acme.example" if project else ""


def steady_account(choose: random.Random, first: date, until: date) -> ChargedAccount:
    """
    Make an account that only varies as every account does.

    It has a weekly rhythm, 5 to 30 % daily noise a line, batches at ends of months, and jobs on random days.
    """
    account, seed = ChargedAccount(first, until), f"{choose.random()}"
    scale = choose.choice([10, 40, 150, 600])
    begins = datetime.combine(first, time(), UTC) - 30 * DAY
    for number in range(choose.randrange(1, 6)):
        project = choose.choice(PROJECTS)
        instance = choose.choice([*HOURLY][:3])
        account.sources.append(
            Life(
                name=f"serve-{number}",
                start=begins,
                instance=instance,
                project=project,
                count=max(1, round(scale * choose.uniform(0.1, 1) / HOURLY[instance] / 24)),
                owner=owner_of(project),
            )
        )
    for meter in choose.sample(NOISY_METERS, choose.randrange(4, 9)):
        for project in choose.sample((*PROJECTS, ""), choose.randrange(1, 3)):
            account.sources.append(
                Flow(
                    meter=meter,
                    usd=scale * choose.uniform(0.05, 1),
                    project=project,
                    owner=owner_of(project),
                    noise=choose.uniform(0.05, 0.3),
                    weekend=choose.choice([1, 1, 0.6, 0.3, 0.1]),
                    seed=f"{seed} {project}",
                )
            )
    for number in range(choose.randrange(0, 3)):
        project = choose.choice(PROJECTS)
        account.sources.append(
            Flow(
                meter=(SAGEMAKER, f"USE1-Processing:ml.r5.{number}xlarge", "Hrs", 0.3),
                usd=scale * choose.uniform(0.3, 3),
                noise=choose.uniform(0.05, 0.3),
                batch=choose.choice(["last", "first"]),
                project=project,
                owner=owner_of(project),
                seed=f"{seed} {number}",
            )
        )
    for number in range(choose.randrange(1, 4)):
        account.sources += random_jobs(choose, account, f"fit-{PROJECTS[number]}", scale)
    return account


def random_jobs(choose: random.Random, account: ChargedAccount, name: str, scale: float) -> Iterator[Life]:
    """Yield jobs on random days, of one family or each with a name of its own."""
    daily, project = choose.choice([0.12, 0.25, 0.5, 0.9]), choose.choice(PROJECTS)
    hours = scale * choose.uniform(0.1, 1) / 1.408
    own_names, noise = choose.random() < 0.5, choose.uniform(0.05, 0.3)
    for number in range((account.until - account.first).days):
        day = account.first + number * DAY
        if choose.random() < daily:
            start = datetime.combine(day, time(hour=choose.randrange(24)), UTC)
            length = min(max(hours * choose.gauss(1, noise), 0.1), 24 * 8)
            yield Life(
                name="".join(choose.sample("abcdefghijklmnop", 9)) if own_names else f"{name}-{day:%Y%m%d}",
                kind="training-job",
                start=start,
                end=start + timedelta(hours=length),
                project=project,
                owner=owner_of(project),
            )


def at_work(day: date) -> datetime:
    """Return the time at which the bill is read each morning."""
    return datetime.combine(day, time(6, 30), UTC)


def bills_of_mornings(account: ChargedAccount, mornings: Sequence[date], unsettled: float) -> Iterator[Bill]:
    """Yield the bill of each morning, as if each had been read: far quicker than that."""
    last = mornings[-1]
    whole = account.bill(at_work(last + DAY), days=66 + (last - mornings[0]).days, unsettled=1.0)
    charges: dict[date, list[Any]] = defaultdict(list)
    tagged: dict[str, dict[date, list[Any]]] = {name: defaultdict(list) for name in whole.by_tag}
    for charge in whole.charges:
        charges[charge.day].append(charge)
    for name, rows in whole.by_tag.items():
        for charge in rows:
            tagged[name][charge.day].append(charge)
    share = exact(unsettled)

    def days(by_day: Mapping[date, list[Any]], today: date) -> tuple[Any, ...]:
        settled = [row for number in range(65, 1, -1) for row in by_day.get(today - number * DAY, ())]
        young = [
            replace(row, usd=row.usd * share, quantity=row.quantity * share)
            for row in by_day.get(today - DAY, ())
        ]
        return (*settled, *(young if share else ()))

    for today in mornings:
        yield replace(
            whole,
            time=at_work(today),
            first=today - 65 * DAY,
            until=today,
            charges=days(charges, today),
            months=tuple(month for month in whole.months if month.day < today.replace(day=1)),
            by_tag={name: days(by_day, today) for name, by_day in tagged.items()},
        )


# --- single causes ----------------------------------------------------------------------------


class Cause(NamedTuple):
    """What was done to an account: the words that name it, its owner, and what it changed in 30 days."""

    kind: str
    words: str
    owner: str
    usd: Decimal


class Scene(NamedTuple):
    """What a cause is made of: the day from which it costs *usd* a day."""

    choose: random.Random
    account: ChargedAccount
    day: date
    usd: float
    project: str


type Named = tuple[str, str]
"""Words that name a cause, and its owner."""


def add_cause(choose: random.Random, account: ChargedAccount, morning: date) -> Cause:
    """
    Change *account* once, some days before *morning*.

    A new cost is 7 to 100 % of the account's daily cost. Usage that is there becomes 2.5 to 8 times as much.
    """
    end = morning - DAY
    day = end - choose.randrange(3, 26) * DAY
    daily = (
        float(sum(row.usd for number in range(31, 59) for row in account.ledger(morning - number * DAY))) / 28
    )
    usd = max(daily * choose.uniform(0.07, 1), 40.0)
    project, kind = choose.choice((*PROJECTS, "new-app")), choose.choice([*CAUSES])
    spans = [[end - number * DAY for number in days] for days in (range(1, 31), range(31, 61))]
    before = [_cost(account, span) for span in spans]
    words, owner = CAUSES[kind](Scene(choose, account, day, usd, project))
    account._ledger.clear()
    after = [_cost(account, span) for span in spans]
    return Cause(kind, words, owner, after[0] - before[0] - after[1] + before[1])


def _cost(account: ChargedAccount, span: Iterable[date]) -> Decimal:
    return sum((row.usd for day in span for row in account.ledger(day) if row.record == "Usage"), ZERO)


def _new(kind: str, detector: str = "", name: str = "surprise", hours: int = 0) -> Callable[[Scene], Named]:
    def add(scene: Scene) -> Named:
        instance = scene.choose.choice([*HOURLY][:3])
        life = Life(
            name=name,
            kind=kind,
            instance=instance,
            project=scene.project,
            detector=detector,
            start=datetime.combine(scene.day, time(9), UTC),
            owner=f"{name}@acme.example",
            count=max(1, round(scene.usd / 24 / HOURLY[instance])),
        )
        life.end = life.start + timedelta(hours=hours) if hours else None
        scene.account.sources.append(life)
        return name, life.owner

    return add


def _family(scene: Scene) -> Named:
    for number in range((scene.account.until - scene.day).days):
        start = datetime.combine(scene.day + number * DAY, time(2), UTC)
        scene.account.sources.append(
            Life(
                name=f"retrain-{start:%Y%m%d}",
                kind="processing-job",
                start=start,
                end=start + timedelta(hours=scene.usd / 1.408),
                project=scene.project,
                owner="retrain@acme.example",
            )
        )
    return "retrain", "retrain@acme.example"


def _many_small(scene: Scene) -> Named:
    for number in range(12 * (scene.account.until - scene.day).days):
        start = datetime.combine(scene.day, time(1), UTC) + number * timedelta(hours=2)
        name = "".join(scene.choose.sample("abcdefghijklmnopqrstuvwxyz", 10))
        scene.account.sources.append(
            Life(
                name=name,
                kind="processing-job",
                start=start,
                instance="ml.m5.xlarge",
                end=start + timedelta(hours=scene.usd / 12 / 0.23),
                project=scene.project,
                owner="small@acme.example",
            )
        )
    return "jobs on USE1-Processing:ml.m5.xlarge", "small@acme.example"


def _scaled(scene: Scene) -> Named:
    lives = [life for life in scene.account.sources if isinstance(life, Life) and life.kind == "endpoint"]
    life = scene.choose.choice(lives)
    more = max(1, round(scene.usd / 24 / HOURLY[life.instance]))
    life.scaled, life.owner = [(scene.day, life.count + more)], "scaled@acme.example"
    return life.name, life.owner


def _deleted(scene: Scene) -> Named:
    begins = datetime.combine(scene.account.first, time(), UTC) - DAY
    life = Life(
        name="retired",
        start=begins,
        instance="ml.g5.12xlarge",
        project=scene.project,
        end=datetime.combine(scene.day, time(15), UTC),
        owner="retired@acme.example",
        count=max(1, round(scene.usd / 24 / 7.09)),
    )
    scene.account.sources.append(life)
    return life.name, life.owner


def _flow(meter: Meter) -> Callable[[Scene], Named]:
    """Return the cause of new usage: in another region, or beside that of other projects."""

    def add(scene: Scene) -> Named:
        service, usage_type, unit, price = meter
        usage_type = usage_type.replace("USE1-", scene.choose.choice(["USE1-", "EU-"]), 1)
        flow = Flow(meter=(service, usage_type, unit, price), usd=scene.usd, project=scene.project, noise=0.2)
        flow.owner, flow.steps = "flow@acme.example", [(scene.account.first, 0.0), (scene.day, 1.0)]
        scene.account.sources.append(flow)
        return usage_type, flow.owner

    return add


def _more(scene: Scene) -> Named:
    flows = [flow for flow in scene.account.sources if isinstance(flow, Flow) and not flow.batch]
    flow = max(flows, key=lambda flow: flow.usd * scene.choose.uniform(0.5, 1))
    flow.steps, flow.owner = [(scene.day, scene.choose.uniform(2.5, 8))], "more@acme.example"
    return flow.meter[1], flow.owner


def _price(scene: Scene) -> Named:
    lives = [life for life in scene.account.sources if isinstance(life, Life) and life.kind == "endpoint"]
    usage, dearer = (
        max(lives, key=lambda life: life.count * HOURLY[life.instance]).usage_type,
        scene.choose.uniform(1.8, 3),
    )
    for life in lives:
        if life.usage_type == usage:
            life.repriced = [(scene.day, dearer)]
    return f"price of {usage}", ""


CAUSES: Mapping[str, Callable[[Scene], Named]] = {
    "new endpoint": _new("endpoint"),
    "hung job": _new("training-job", "hung-training-jobs", "pretrain-x"),
    "long job": _new("training-job", name="long-job", hours=60),
    "idle notebook": _new("notebook-instance", "idle-notebooks", "forgotten"),
    "Studio app": _new("app", name="default-app"),
    "family of jobs": _family,
    "many small jobs": _many_small,
    "scaled endpoint": _scaled,
    "deleted endpoint": _deleted,
    "egress": _flow(EGRESS),
    "NAT gateway": _flow(NAT),
    "transfer between regions": _flow(CROSS_REGION),
    "logs": _flow(LOGS),
    "storage": _flow(STORED),
    "HyperPod": _flow(HYPERPOD),
    "warm pools": _flow(WARM_POOL),
    "serverless": _flow(SERVERLESS),
    "marketplace": _flow(MARKETPLACE),
    "region that nobody reads": _flow((SAGEMAKER, "APN1-Host:ml.g5.12xlarge", "Hrs", 7.09)),
    "more of the same": _more,
    "price": _price,
}
