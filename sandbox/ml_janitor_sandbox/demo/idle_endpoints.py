"""The endpoints that nobody calls, and those that only look like it."""

from __future__ import annotations

from ml_janitor_sandbox.demo.endpoints import Component, Endpoint, Variant, only
from ml_janitor_sandbox.demo.people import (
    ACCOUNT_TAKEOVER,
    CATALOG_IMAGES,
    CHECKOUT_FRAUD,
    DEMAND_FORECAST,
    FOUNDATION_MODELS,
    HANA,
    HOME_FEED,
    LISTING_MODERATION,
    NOAH,
    PRICING,
    QUERY_UNDERSTANDING,
    RAVI,
    SEARCH_RELEVANCE,
    SIMILAR_ITEMS,
    SUPPORT_ASSISTANT,
    Labels,
)
from ml_janitor_sandbox.demo.traffic import NEVER, SILENT, bursts, ended, steady
from ml_janitor_sandbox.demo.truth import likely_waste, lookalike, unknown, waste

IDLE = (
    Endpoint(
        name="ranker-bert-large-canary",
        labels=Labels(project=SEARCH_RELEVANCE, owner=RAVI),
        age=118,
        variants=only("ml.g4dn.12xlarge", ended(2600, days=41)),
        truth=waste("the canary was promoted to search-ranker, and this copy was left behind"),
    ),
    Endpoint(
        name="image-embeddings-v1",
        labels=Labels(project=CATALOG_IMAGES, environment="production", managed_by="terraform"),
        age=402,
        variants=only("ml.g5.xlarge", ended(5200, days=33), count=2),
        truth=waste("its callers moved to image-embeddings-v2"),
    ),
    Endpoint(
        name="llm-summarizer-demo",
        labels=Labels(project=SUPPORT_ASSISTANT, environment="dev", owner=None),
        age=64,
        variants=only("ml.g5.2xlarge", NEVER),
        components=(Component("llm-summarizer-demo-mistral-7b", ended(40, days=26)),),
        truth=waste("the demo was given 26 days ago; its one inference component waits for requests"),
    ),
    Endpoint(
        name="fraud-graph-ab-test",
        labels=Labels(project=CHECKOUT_FRAUD),
        age=87,
        variants=(
            Variant(name="control", instance_type="ml.m5.4xlarge", traffic=ended(900, days=19)),
            Variant(name="treatment", instance_type="ml.m5.xlarge", traffic=ended(880, days=19)),
        ),
        truth=waste("the test is over, and neither of its two variants is called"),
    ),
    Endpoint(
        name="two-tower-reco-2025q4",
        labels=Labels(project=HOME_FEED, managed_by="terraform"),
        age=301,
        variants=only("ml.g4dn.xlarge", ended(3100, days=38)),
        truth=waste("replaced by home-feed-ranker"),
    ),
    Endpoint(
        name="video-moderation-batch",
        labels=Labels(project=LISTING_MODERATION, owner=NOAH),
        age=143,
        variants=only("ml.g4dn.xlarge", ended(210, days=22)),
        backlog=0,
        truth=waste("asynchronous, with nothing processed for three weeks and nothing waiting"),
    ),
    Endpoint(
        name="intent-classifier-v3",
        labels=Labels(project=SUPPORT_ASSISTANT),
        age=229,
        variants=only("ml.c5.2xlarge", SILENT),
        truth=likely_waste("it publishes its CPU but not one datapoint of requests"),
    ),
    Endpoint(
        name="churn-xgb-blue",
        labels=Labels(
            project=HOME_FEED, environment="production", managed_by="cloudformation", stack="churn-serving"
        ),
        age=190,
        variants=only("ml.m5.xlarge", ended(450, days=29)),
        truth=waste("the blue half of a blue/green deployment that went green"),
    ),
    Endpoint(
        name="price-elasticity-poc",
        labels=Labels(
            project=PRICING, environment="dev", owner=HANA, also={"janitor:keep-until": "2026-09-01"}
        ),
        age=97,
        variants=only("ml.m5.large", ended(120, days=35)),
        truth=waste("a proof of concept that asked to be kept until 1 September"),
    ),
    Endpoint(
        name="query-rewriter-inf2-trial",
        labels=Labels(project=QUERY_UNDERSTANDING, environment="dev"),
        age=52,
        variants=only("ml.inf2.xlarge", ended(300, days=24)),
        truth=waste("a trial of a chip that no price list at hand has a price for"),
    ),
)

UNTELLABLE = (
    Endpoint(
        name="address-matcher-legacy",
        labels=Labels(project=ACCOUNT_TAKEOVER, owner=None, without=("cost-center", "project")),
        age=611,
        variants=only("ml.m5.large", SILENT),
        reports_load=False,
        truth=unknown("no metric of any kind arrives, so its silence means nothing"),
    ),
)

LOOK_IDLE = (
    Endpoint(
        name="checkout-fraud-scoring",
        labels=Labels(project=CHECKOUT_FRAUD, environment="production", managed_by="terraform"),
        age=210,
        variants=(
            Variant(name="baseline", instance_type="ml.m5.xlarge", traffic=NEVER),
            Variant(name="challenger", instance_type="ml.m5.xlarge", traffic=steady(7200), count=2),
        ),
        truth=lookalike("its first variant is idle, the second takes all requests"),
    ),
    Endpoint(
        name="document-ocr",
        labels=Labels(project=LISTING_MODERATION, environment="production", managed_by="terraform"),
        age=166,
        variants=only("ml.g4dn.xlarge", steady(340)),
        backlog=3,
        truth=lookalike("asynchronous, so that Invocations does not exist; it processes requests all day"),
    ),
    Endpoint(
        name="contract-parser",
        labels=Labels(project=SUPPORT_ASSISTANT, managed_by="terraform"),
        age=74,
        variants=only("ml.g4dn.2xlarge", NEVER),
        backlog=2,
        truth=lookalike("asynchronous, with nothing finished yet, but two long documents in work"),
    ),
    Endpoint(
        name="llm-gateway",
        labels=Labels(project=FOUNDATION_MODELS, environment="production", managed_by="terraform"),
        age=95,
        variants=only("ml.g5.12xlarge", NEVER),
        components=(
            Component("llm-gateway-llama-8b", steady(1900), copies=2),
            Component("llm-gateway-reranker", NEVER),
        ),
        truth=lookalike("counts requests by inference component, and one of the two is busy"),
    ),
    Endpoint(
        name="search-ranker-next",
        labels=Labels(project=SEARCH_RELEVANCE, owner=RAVI, managed_by="terraform"),
        age=31,
        variants=(
            Variant(name="current", instance_type="ml.m5.2xlarge", traffic=NEVER),
            Variant(name="candidate", instance_type="ml.m5.2xlarge", traffic=steady(640), shadow=True),
        ),
        truth=lookalike("its shadow variant is fed a copy of live traffic"),
    ),
    Endpoint(
        name="sku-matcher-v5",
        labels=Labels(project=CATALOG_IMAGES, managed_by="terraform"),
        age=0.3,
        variants=only("ml.g4dn.xlarge", NEVER),
        truth=lookalike("deployed yesterday"),
    ),
    Endpoint(
        name="account-risk",
        labels=Labels(project=ACCOUNT_TAKEOVER, environment="production", managed_by="terraform"),
        age=284,
        variants=only("ml.m5.xlarge", ended(1500, days=10)),
        redeployed=3,
        truth=lookalike("a new model was deployed to it on Friday, to be switched on this week"),
    ),
    Endpoint(
        name="batch-captioning",
        labels=Labels(project=CATALOG_IMAGES, managed_by="terraform"),
        age=58,
        variants=(Variant(instance_type="ml.g5.2xlarge", traffic=ended(75, days=12), scaled_to_zero=True),),
        truth=lookalike("scaled to zero instances, which cost nothing"),
    ),
    Endpoint(
        name="faq-answering",
        labels=Labels(project=SUPPORT_ASSISTANT, managed_by="terraform"),
        age=240,
        variants=only(None, ended(90, days=36)),
        truth=lookalike("serverless, which costs nothing without requests"),
    ),
    Endpoint(
        name="fraud-scoring-standby",
        labels=Labels(
            project=CHECKOUT_FRAUD,
            environment="production",
            managed_by="terraform",
            also={"janitor:keep": "true"},
        ),
        age=320,
        variants=only("ml.m5.xlarge", NEVER),
        truth=lookalike("a standby for disasters, with a keep tag"),
    ),
    Endpoint(
        name="peak-season-forecast",
        labels=Labels(project=DEMAND_FORECAST, also={"janitor:keep-until": "2026-12-31"}),
        age=46,
        variants=only("ml.m5.2xlarge", ended(60, days=15)),
        truth=lookalike("to be kept until the end of the year"),
    ),
    Endpoint(
        name="similar-items-baseline",
        labels=Labels(project=SIMILAR_ITEMS, also={"keep": "TRUE"}),
        age=133,
        variants=only("ml.c5.xlarge", ended(800, days=27)),
        truth=lookalike("a keep tag in capitals"),
    ),
    Endpoint(
        name="weekly-assortment-scoring",
        labels=Labels(project=DEMAND_FORECAST, environment="production", managed_by="terraform"),
        age=365,
        variants=only("ml.c5.4xlarge", bursts((5.9, 1840))),
        truth=lookalike("called in one hour of the week, last Wednesday morning"),
    ),
)
