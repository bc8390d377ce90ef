"""Every training job of the demo."""

from __future__ import annotations

from datetime import datetime, timedelta

from ml_janitor_sandbox.demo.jobs import Job, Log
from ml_janitor_sandbox.demo.people import (
    ACCOUNT_TAKEOVER,
    CATALOG_IMAGES,
    CHECKOUT_FRAUD,
    DEMAND_FORECAST,
    FOUNDATION_MODELS,
    HOME_FEED,
    LISTING_MODERATION,
    OMAR,
    PLATFORM,
    QUERY_UNDERSTANDING,
    RAVI,
    SEARCH_RELEVANCE,
    SIMILAR_ITEMS,
    SUPPORT_ASSISTANT,
    Labels,
    Project,
)
from ml_janitor_sandbox.demo.times import ago
from ml_janitor_sandbox.demo.truth import lookalike, waste


def scheduled(project: Project) -> Labels:
    """How the training pipelines label the jobs they start."""
    return Labels(project=project, environment="production", managed_by="pipeline")


def by_hand(project: Project, owner: str | None = "") -> Labels:
    """How people label the jobs they start themselves."""
    return Labels(project=project, environment="dev", owner=owner)


def minutes(count: float) -> timedelta:
    """So many minutes."""
    return timedelta(minutes=count)


HUNG_AT = ago(hours=250, minutes=7)

HUNG = (
    Job(
        name="llm-pretrain-7b-0924",
        labels=by_hand(FOUNDATION_MODELS, OMAR),
        instance_type="ml.p3.8xlarge",
        count=4,
        created=ago(hours=264, minutes=9),
        started=ago(hours=264),
        limit=timedelta(days=28),
        log=Log(every=minutes(4), until=HUNG_AT, step=20),
        hung=HUNG_AT,
        saved=tuple(ago(hours=hours, minutes=21) for hours in (261, 259, 257, 255, 253, 251)),
        truth=waste("an all-reduce waits for a rank that is gone; 16 GPUs have been spinning for ten days"),
    ),
)

LOOK_HUNG = (
    Job(
        name="llm-pretrain-7b-0924-2",
        labels=by_hand(FOUNDATION_MODELS, OMAR),
        instance_type="ml.g5.12xlarge",
        created=ago(hours=52, minutes=12),
        started=ago(hours=52, minutes=3),
        log=Log(every=minutes(5)),
        saved=(ago(hours=29), ago(hours=6)),
        truth=lookalike("makes progress, under a name that begins with the hung job's"),
    ),
    Job(
        name="catalog-vit-finetune-12",
        labels=by_hand(CATALOG_IMAGES),
        instance_type="ml.g5.12xlarge",
        created=ago(hours=31, minutes=30),
        started=ago(hours=31, minutes=20),
        log=Log(every=minutes(12), until=ago(hours=7, minutes=15)),
        truth=lookalike("silent for seven hours of evaluation, while its load goes up and down"),
    ),
    Job(
        name="fraud-graphsage-0929",
        labels=by_hand(CHECKOUT_FRAUD),
        instance_type="ml.p3.2xlarge",
        created=ago(days=6, hours=4, minutes=8),
        started=ago(days=6, hours=4),
        limit=timedelta(days=10),
        log=Log(every=minutes(30), until=ago(hours=9, minutes=40)),
        hung=ago(hours=30),
        saved=(ago(hours=72), ago(hours=36), ago(hours=12), ago(minutes=40)),
        truth=lookalike("silent, with its GPU full, but it saved a checkpoint 40 minutes ago"),
    ),
    Job(
        name="forecast-transformer-w40",
        labels=by_hand(DEMAND_FORECAST),
        instance_type="ml.g4dn.12xlarge",
        created=ago(hours=51, minutes=40),
        started=ago(hours=51, minutes=30),
        log=Log(every=timedelta(hours=5), until=ago(hours=6, minutes=20), step=1),
        hung=ago(hours=51),
        truth=lookalike("prints one line an epoch, and an epoch takes five hours"),
    ),
    Job(
        name="train",
        labels=by_hand(SIMILAR_ITEMS, owner=None),
        instance_type="ml.g5.2xlarge",
        created=ago(hours=20, minutes=5),
        started=ago(hours=20),
        log=Log(every=minutes(15), until=ago(hours=8, minutes=5)),
        saved=(ago(hours=15), ago(hours=2, minutes=10)),
        truth=lookalike("quiet, but it saves checkpoints; not to be mixed up with train-2"),
    ),
    Job(
        name="intent-distilbert-spot-04",
        labels=by_hand(SUPPORT_ASSISTANT),
        instance_type="ml.g4dn.xlarge",
        created=ago(hours=33, minutes=10),
        started=ago(hours=33),
        status="Interrupted",
        spot=True,
        log=Log(every=minutes(6), until=ago(hours=13, minutes=2)),
        saved=(ago(hours=28), ago(hours=20), ago(hours=14)),
        truth=lookalike("a spot job that was interrupted, and waits for capacity"),
    ),
    Job(
        name="speech-conformer-large",
        labels=by_hand(SUPPORT_ASSISTANT),
        instance_type="ml.p3.8xlarge",
        count=2,
        created=ago(hours=19, minutes=26),
        status="Starting",
        truth=lookalike("still waiting for instances, which costs nothing"),
    ),
    Job(
        name="reranker-crossenc-v9",
        labels=by_hand(SEARCH_RELEVANCE, RAVI),
        instance_type="ml.g5.12xlarge",
        created=ago(hours=26, minutes=50),
        started=ago(hours=26, minutes=40),
        limit=timedelta(days=1),
        status="Uploading",
        log=Log(every=minutes(8), until=ago(hours=2, minutes=35)),
        truth=lookalike("past its maximum runtime, but only because it uploads its model"),
    ),
)

RUNNING = (
    Job(
        name="train-2",
        labels=by_hand(SIMILAR_ITEMS, owner=None),
        instance_type="ml.g5.2xlarge",
        created=ago(hours=12, minutes=31),
        started=ago(hours=12, minutes=25),
        log=Log(every=minutes(7)),
    ),
    Job(
        name="home-feed-ctr-20261005",
        labels=scheduled(HOME_FEED),
        instance_type="ml.m5.12xlarge",
        count=2,
        created=ago(hours=5, minutes=6),
        started=ago(hours=5),
        log=Log(every=minutes(3)),
    ),
    Job(
        name="query-category-20261005",
        labels=scheduled(QUERY_UNDERSTANDING),
        instance_type="ml.c5.9xlarge",
        created=ago(hours=3, minutes=4),
        started=ago(hours=3),
        log=Log(every=minutes(4)),
    ),
    Job(
        name="moderation-swin-v7",
        labels=by_hand(LISTING_MODERATION),
        instance_type="ml.p3.2xlarge",
        created=ago(hours=15, minutes=45),
        started=ago(hours=15, minutes=37),
        log=Log(every=minutes(9)),
        saved=(ago(hours=10), ago(hours=5), ago(minutes=25)),
    ),
    Job(
        name="login-anomaly-20261006",
        labels=scheduled(ACCOUNT_TAKEOVER),
        instance_type="ml.m5.4xlarge",
        created=ago(minutes=22),
        started=ago(minutes=17),
        log=Log(every=minutes(2)),
    ),
)


def _over(
    name: str,
    labels: Labels,
    instance_type: str,
    started: datetime,
    hours: float,
    *,
    status: str = "Completed",
) -> Job:
    """One that ended after so many *hours*."""
    ended = started + timedelta(hours=hours)
    return Job(
        name=name,
        labels=labels,
        instance_type=instance_type,
        created=started - minutes(6),
        started=started,
        ended=ended,
        status=status,
        log=Log(every=minutes(25), until=ended - minutes(2)),
    )


OVER = (
    _over("home-feed-ctr-20261004", scheduled(HOME_FEED), "ml.m5.12xlarge", ago(hours=29), 6.2),
    _over("home-feed-ctr-20261003", scheduled(HOME_FEED), "ml.m5.12xlarge", ago(hours=53), 6.1),
    _over("query-category-20260928", scheduled(QUERY_UNDERSTANDING), "ml.c5.9xlarge", ago(days=7.1), 4.4),
    _over("login-anomaly-20261005", scheduled(ACCOUNT_TAKEOVER), "ml.m5.4xlarge", ago(hours=24.3), 1.1),
    _over("chargeback-xgb-0930", by_hand(CHECKOUT_FRAUD), "ml.m5.4xlarge", ago(days=5.2), 2.7),
    _over("moderation-swin-v6", by_hand(LISTING_MODERATION), "ml.p3.2xlarge", ago(days=8.3), 31.0),
    _over("sku-matcher-v5", by_hand(CATALOG_IMAGES), "ml.g4dn.xlarge", ago(days=3.2), 9.5),
    _over("tokenizer-bpe-64k", by_hand(FOUNDATION_MODELS), "ml.c5.9xlarge", ago(days=12.4), 3.3),
    _over(
        "catalog-vit-finetune-11",
        by_hand(CATALOG_IMAGES),
        "ml.g5.12xlarge",
        ago(days=4.1),
        0.4,
        status="Failed",
    ),
    _over("gpu-burn-in", by_hand(PLATFORM), "ml.p3.2xlarge", ago(days=2.2), 1.0, status="Stopped"),
)

JOBS = (*HUNG, *LOOK_HUNG, *RUNNING, *OVER)
