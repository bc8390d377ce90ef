"""Every notebook instance of the demo."""

from __future__ import annotations

from ml_janitor_sandbox.demo.notebooks import Notebook
from ml_janitor_sandbox.demo.people import (
    ACCOUNT_TAKEOVER,
    AISHA,
    CATALOG_IMAGES,
    CHECKOUT_FRAUD,
    DEMAND_FORECAST,
    FOUNDATION_MODELS,
    HANA,
    HOME_FEED,
    LISTING_MODERATION,
    LUCAS,
    MARTA,
    NOAH,
    OMAR,
    PLATFORM,
    PRICING,
    PRIYA,
    QUERY_UNDERSTANDING,
    RAVI,
    SEARCH_RELEVANCE,
    SIMILAR_ITEMS,
    SUPPORT_ASSISTANT,
    YUKI,
    Labels,
    Project,
)
from ml_janitor_sandbox.demo.times import ago
from ml_janitor_sandbox.demo.truth import likely_waste, lookalike


def personal(project: Project, owner: str | None = "", **also: str) -> Labels:
    """How people label what they start by hand; `keep_until` becomes the tag janitor:keep-until."""
    tags = {f"janitor:{key.replace('_', '-')}": value for key, value in also.items()}
    return Labels(project=project, environment="dev", owner=owner, also=tags)


LEFT_ON = (
    Notebook(
        name="embeddings-exploration",
        instance_type="ml.g5.2xlarge",
        labels=personal(HOME_FEED, PRIYA),
        age=88,
        started=ago(days=19, hours=7),
        worked=ago(days=19, hours=2, minutes=11),
        truth=likely_waste("nobody came back after an afternoon 19 days ago"),
    ),
    Notebook(
        name="gpu-sandbox-shared",
        instance_type="ml.g5.xlarge",
        labels=personal(PLATFORM, owner=None),
        age=263,
        started=ago(days=52, hours=4),
        worked=ago(days=46, hours=5, minutes=48),
        truth=likely_waste("shared by everyone, and so turned off by no one"),
    ),
    Notebook(
        name="labeling-qa-review",
        instance_type="ml.g4dn.2xlarge",
        labels=personal(CATALOG_IMAGES),
        age=41,
        worked=ago(days=12, hours=3, minutes=25),
        truth=likely_waste("the review was finished 12 days ago"),
    ),
    Notebook(
        name="elasticity-simulation",
        instance_type="ml.m5.4xlarge",
        labels=personal(PRICING, HANA),
        age=70,
        started=ago(days=11, hours=9),
        worked=ago(days=10, hours=4, minutes=2),
        truth=likely_waste("the simulation ended more than a week ago"),
    ),
    Notebook(
        name="moderation-error-analysis",
        instance_type="ml.g4dn.xlarge",
        labels=personal(LISTING_MODERATION, YUKI),
        age=22,
        started=ago(days=3, hours=11),
        worked=ago(days=3, hours=4, minutes=37),
        truth=likely_waste("left on over the weekend"),
    ),
    Notebook(
        name="ranking-offline-eval",
        instance_type="ml.m5.2xlarge",
        labels=personal(SEARCH_RELEVANCE, RAVI),
        age=155,
        started=ago(days=4, hours=8),
        worked=ago(days=3, hours=1, minutes=9),
        truth=likely_waste("left on over the weekend"),
    ),
    Notebook(
        name="fraud-graph-eda",
        instance_type="ml.m5.xlarge",
        labels=personal(CHECKOUT_FRAUD, MARTA),
        age=61,
        started=ago(days=28, hours=6),
        worked=ago(days=27, hours=6, minutes=53),
        truth=likely_waste("the question it was opened for was answered in September"),
    ),
    Notebook(
        name="summer-interns-2026",
        instance_type="ml.t3.xlarge",
        labels=personal(SUPPORT_ASSISTANT, owner=None),
        age=112,
        worked=ago(days=38, hours=5, minutes=20),
        truth=likely_waste("the interns left at the end of August"),
    ),
    Notebook(
        name="forecast-backtest",
        instance_type="ml.t3.large",
        labels=personal(DEMAND_FORECAST),
        age=34,
        started=ago(hours=14),
        worked=ago(hours=8, minutes=14),
        truth=likely_waste("left on for the night"),
    ),
    Notebook(
        name="platform-smoke-tests",
        instance_type="ml.t3.medium",
        labels=personal(PLATFORM),
        age=19,
        started=ago(days=6, hours=2),
        worked=ago(days=5, hours=7, minutes=30),
        truth=likely_waste("started for a test that passed five days ago"),
    ),
)

LOOK_LEFT_ON = (
    Notebook(
        name="prompt-evaluation",
        instance_type="ml.m5.xlarge",
        labels=personal(SUPPORT_ASSISTANT, AISHA),
        age=48,
        started=ago(days=1, hours=9),
        worked=ago(hours=9, minutes=12),
        opened=ago(hours=1),
        truth=lookalike("its log is silent, but its URL was asked for an hour ago"),
    ),
    Notebook(
        name="feature-store-backfill",
        instance_type="ml.m5.2xlarge",
        labels=personal(SIMILAR_ITEMS, LUCAS),
        age=81,
        started=ago(days=3, hours=9),
        worked=ago(minutes=19),
        lags=26,
        truth=lookalike("the list of log streams lags a day behind; the log itself is 19 minutes old"),
    ),
    Notebook(
        name="video-frame-sampling",
        instance_type="ml.g4dn.xlarge",
        labels=personal(LISTING_MODERATION, NOAH),
        age=29,
        started=ago(minutes=48),
        worked=ago(days=6, hours=3),
        truth=lookalike("started 48 minutes ago, and not used yet"),
    ),
    Notebook(
        name="quarterly-fraud-report",
        instance_type="ml.m5.xlarge",
        labels=personal(ACCOUNT_TAKEOVER, keep_until="2026-10-31"),
        age=94,
        worked=ago(days=6, hours=8),
        truth=lookalike("to be kept until the end of the month"),
    ),
    Notebook(
        name="labeling-console",
        instance_type="ml.t3.medium",
        labels=personal(CATALOG_IMAGES, keep="true"),
        age=377,
        worked=ago(days=30, hours=4),
        truth=lookalike("serves a tool to labellers, and has a keep tag"),
    ),
)

IN_USE = (
    Notebook(
        name="price-test-readout",
        instance_type="ml.m5.xlarge",
        labels=personal(PRICING, HANA),
        age=37,
        started=ago(hours=11),
        worked=ago(minutes=30),
    ),
    Notebook(
        name="tokenizer-ablation",
        instance_type="ml.g4dn.xlarge",
        labels=personal(FOUNDATION_MODELS, OMAR),
        age=16,
        started=ago(hours=8),
        worked=ago(minutes=4),
    ),
    Notebook(
        name="query-log-mining",
        instance_type="ml.m5.2xlarge",
        labels=personal(QUERY_UNDERSTANDING),
        age=120,
        started=ago(hours=9),
        worked=ago(hours=1, minutes=12),
    ),
)


def _stopped(name: str, instance_type: str, labels: Labels, age: float, days: float) -> Notebook:
    """One that somebody remembered to stop, so many *days* ago."""
    worked = ago(days=days, minutes=25)
    return Notebook(
        name=name,
        instance_type=instance_type,
        labels=labels,
        age=age,
        worked=worked,
        stopped=ago(days=days),
    )


STOPPED = (
    _stopped("cart-abandonment-eda", "ml.m5.xlarge", personal(HOME_FEED), 140, 17.2),
    _stopped("device-fingerprint-study", "ml.m5.2xlarge", personal(ACCOUNT_TAKEOVER), 66, 1.3),
    _stopped("dedup-listings", "ml.g4dn.xlarge", personal(CATALOG_IMAGES), 58, 4.1),
    _stopped("holiday-uplift", "ml.m5.4xlarge", personal(DEMAND_FORECAST), 290, 88.4),
    _stopped("jonas-scratch", "ml.t3.medium", personal(SEARCH_RELEVANCE), 410, 0.4),
    _stopped("llm-judge-calibration", "ml.g5.2xlarge", personal(FOUNDATION_MODELS, AISHA), 27, 2.2),
    _stopped("margin-guardrails", "ml.m5.large", personal(PRICING), 172, 31.5),
    _stopped("multilingual-synonyms", "ml.m5.xlarge", personal(QUERY_UNDERSTANDING), 103, 9.3),
    _stopped("onboarding-template", "ml.t3.medium", personal(PLATFORM), 505, 24.2),
    _stopped("return-reasons-topics", "ml.m5.2xlarge", personal(SUPPORT_ASSISTANT), 75, 6.4),
    _stopped("similar-items-recall", "ml.g4dn.2xlarge", personal(SIMILAR_ITEMS, LUCAS), 49, 0.3),
    _stopped("watermark-detection", "ml.g5.xlarge", personal(LISTING_MODERATION), 33, 13.1),
)

NOTEBOOKS = (*LEFT_ON, *LOOK_LEFT_ON, *IN_USE, *STOPPED)
