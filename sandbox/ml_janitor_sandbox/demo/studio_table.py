"""Every Studio app of the demo."""

from __future__ import annotations

from ml_janitor_sandbox.demo.notebook_table import personal
from ml_janitor_sandbox.demo.people import (
    ACCOUNT_TAKEOVER,
    CATALOG_IMAGES,
    CHECKOUT_FRAUD,
    DEMAND_FORECAST,
    FOUNDATION_MODELS,
    HANA,
    HOME_FEED,
    LISTING_MODERATION,
    LUCAS,
    NOAH,
    PLATFORM,
    PRICING,
    QUERY_UNDERSTANDING,
    SEARCH_RELEVANCE,
    SIMILAR_ITEMS,
    SUPPORT_ASSISTANT,
)
from ml_janitor_sandbox.demo.studio import App, Domain
from ml_janitor_sandbox.demo.times import ago
from ml_janitor_sandbox.demo.truth import likely_waste, lookalike, unknown, waste

RESEARCH = Domain(name="meridian-research", identifier="d-8990ed81acaf", age=520)
ANALYTICS = Domain(name="meridian-analytics", identifier="d-ccbf534f21a9", age=340, minutes=360)
DOMAINS = (RESEARCH, ANALYTICS)

LEFT_ON = (
    App(
        name="session-graph-notebooks",
        domain=RESEARCH,
        labels=personal(CHECKOUT_FRAUD),
        kind="JupyterLab",
        instance_type="ml.g5.xlarge",
        started=ago(days=4, hours=9),
        active=ago(days=3, hours=5, minutes=12),
        truth=likely_waste("its user was seen last on Friday"),
    ),
    App(
        name="relevance-debugging",
        domain=RESEARCH,
        labels=personal(SEARCH_RELEVANCE),
        kind="CodeEditor",
        instance_type="ml.m5.2xlarge",
        started=ago(days=6, hours=7),
        logged=ago(days=5, hours=3, minutes=41),
        truth=likely_waste("no line in its log for five days; the time of activity is the health check's"),
    ),
    App(
        name="canvas-price-forecast",
        domain=RESEARCH,
        labels=personal(PRICING, HANA),
        kind="Canvas",
        instance_type=None,
        started=ago(hours=12),
        active=ago(hours=9, minutes=20),
        truth=waste("a Canvas session that says itself that nobody has been there for nine hours"),
    ),
    App(
        name="weekly-metrics",
        domain=ANALYTICS,
        labels=personal(DEMAND_FORECAST),
        kind="JupyterLab",
        instance_type="ml.m5.4xlarge",
        started=ago(days=1, hours=11),
        active=ago(days=1, hours=3),
        truth=likely_waste("the domain should have shut it down after six hours, and has not for a day"),
    ),
)

LOOK_LEFT_ON = (
    App(
        name="feed-diversity",
        domain=RESEARCH,
        labels=personal(HOME_FEED),
        kind="JupyterLab",
        instance_type="ml.m5.xlarge",
        started=ago(days=2, hours=10),
        active=ago(hours=1, minutes=8),
        truth=lookalike("days old, but its user was seen an hour ago"),
    ),
    App(
        name="prompt-templates",
        domain=RESEARCH,
        labels=personal(SUPPORT_ASSISTANT),
        kind="CodeEditor",
        instance_type="ml.t3.large",
        started=ago(days=1, hours=8),
        logged=ago(minutes=31),
        truth=lookalike("its time of activity says nothing, but its log is half an hour old"),
    ),
    App(
        name="stockout-analysis",
        domain=ANALYTICS,
        labels=personal(SIMILAR_ITEMS, LUCAS),
        kind="JupyterLab",
        instance_type="ml.m5.xlarge",
        started=ago(hours=14),
        active=ago(hours=7, minutes=15),
        truth=lookalike("idle, but the domain's own shutdown will see to it"),
    ),
    App(
        name="jupyter-server",
        domain=RESEARCH,
        labels=personal(ACCOUNT_TAKEOVER),
        kind="JupyterServer",
        instance_type="system",
        started=ago(days=70),
        active=ago(days=31),
        truth=lookalike("idle for a month, on the instance that costs nothing"),
    ),
    App(
        name="image-annotation",
        domain=RESEARCH,
        labels=personal(CATALOG_IMAGES),
        kind="JupyterLab",
        instance_type="ml.g4dn.xlarge",
        started=ago(days=2, hours=6),
        deleted=ago(hours=5),
        truth=lookalike("deleted five hours ago, and still listed"),
    ),
    App(
        name="canvas-moderation-labels",
        domain=RESEARCH,
        labels=personal(LISTING_MODERATION, NOAH),
        kind="Canvas",
        instance_type=None,
        started=ago(hours=10),
        active=ago(minutes=42),
        truth=lookalike("a Canvas session that was used within the hour"),
    ),
)

UNTELLABLE = (
    App(
        name="tokenizer-playground",
        domain=RESEARCH,
        labels=personal(FOUNDATION_MODELS),
        kind="JupyterLab",
        instance_type="ml.g5.2xlarge",
        started=ago(days=8, hours=4),
        truth=unknown("its time of activity is that of the health check, and it has no log"),
    ),
)

IN_USE = (
    App(
        name="query-intents",
        domain=RESEARCH,
        labels=personal(QUERY_UNDERSTANDING),
        kind="JupyterLab",
        instance_type="ml.m5.xlarge",
        started=ago(hours=8),
        active=ago(minutes=9),
    ),
    App(
        name="platform-dashboards",
        domain=ANALYTICS,
        labels=personal(PLATFORM),
        kind="JupyterLab",
        instance_type="ml.t3.medium",
        started=ago(hours=5),
        active=ago(minutes=26),
    ),
)

APPS = (*LEFT_ON, *LOOK_LEFT_ON, *UNTELLABLE, *IN_USE)
