"""The endpoints that earn their keep."""

from __future__ import annotations

from ml_janitor_sandbox.demo.endpoints import Component, Endpoint, Variant, only
from ml_janitor_sandbox.demo.people import (
    ACCOUNT_TAKEOVER,
    CATALOG_IMAGES,
    CHECKOUT_FRAUD,
    DEMAND_FORECAST,
    FOUNDATION_MODELS,
    HOME_FEED,
    LISTING_MODERATION,
    NOAH,
    PLATFORM,
    PRICING,
    QUERY_UNDERSTANDING,
    RAVI,
    SEARCH_RELEVANCE,
    SIMILAR_ITEMS,
    SUPPORT_ASSISTANT,
    Labels,
    Project,
)
from ml_janitor_sandbox.demo.traffic import NEVER, steady


def production(project: Project) -> Labels:
    """How the platform's own modules label what they deploy."""
    return Labels(project=project, environment="production", managed_by="terraform")


BUSY = (
    Endpoint(
        name="search-ranker",
        labels=production(SEARCH_RELEVANCE),
        age=76,
        variants=only("ml.g4dn.12xlarge", steady(48000), count=2),
    ),
    Endpoint(
        name="query-spelling",
        labels=production(QUERY_UNDERSTANDING),
        age=330,
        variants=only("ml.c5.xlarge", steady(52000), count=3),
    ),
    Endpoint(
        name="query-category",
        labels=production(QUERY_UNDERSTANDING),
        age=205,
        variants=only("ml.m5.large", steady(51000), count=2),
    ),
    Endpoint(
        name="home-feed-ranker",
        labels=production(HOME_FEED),
        age=112,
        variants=only("ml.g4dn.2xlarge", steady(36500), count=3),
    ),
    Endpoint(
        name="home-feed-candidates",
        labels=production(HOME_FEED),
        age=111,
        variants=only("ml.m5.4xlarge", steady(36200), count=2),
    ),
    Endpoint(
        name="similar-items",
        labels=production(SIMILAR_ITEMS),
        age=140,
        variants=only("ml.g4dn.xlarge", steady(12400), count=2),
    ),
    Endpoint(
        name="image-embeddings-v2",
        labels=production(CATALOG_IMAGES),
        age=54,
        variants=only("ml.g5.2xlarge", steady(6100), count=2),
    ),
    Endpoint(
        name="listing-moderation",
        labels=production(LISTING_MODERATION),
        age=88,
        variants=only("ml.g5.xlarge", steady(2900), count=2),
    ),
    Endpoint(
        name="login-anomaly",
        labels=production(ACCOUNT_TAKEOVER),
        age=260,
        variants=only("ml.m5.large", steady(9800), count=2),
    ),
    Endpoint(
        name="chargeback-risk",
        labels=Labels(
            project=CHECKOUT_FRAUD,
            environment="production",
            managed_by="cloudformation",
            stack="chargeback-risk-serving",
        ),
        age=412,
        variants=only("ml.m5.xlarge", steady(3300)),
    ),
    Endpoint(
        name="support-intent",
        labels=production(SUPPORT_ASSISTANT),
        age=131,
        variants=only("ml.c5.2xlarge", steady(1400)),
    ),
    Endpoint(
        name="support-assistant-rag",
        labels=production(SUPPORT_ASSISTANT),
        age=39,
        variants=only("ml.g5.12xlarge", NEVER),
        components=(Component("support-assistant-qwen-14b", steady(820)),),
    ),
    Endpoint(
        name="dynamic-pricing",
        labels=production(PRICING),
        age=177,
        variants=(
            Variant(name="stable", instance_type="ml.m5.xlarge", traffic=steady(4100)),
            Variant(name="explore", instance_type="ml.m5.large", traffic=steady(450)),
        ),
    ),
    Endpoint(
        name="demand-forecast",
        labels=production(DEMAND_FORECAST),
        age=299,
        variants=only("ml.c5.xlarge", steady(240)),
    ),
    Endpoint(
        name="feature-drift-monitor",
        labels=production(PLATFORM),
        age=345,
        variants=only("ml.m5.large", steady(60)),
    ),
    Endpoint(
        name="embedding-service",
        labels=production(FOUNDATION_MODELS),
        age=68,
        variants=only("ml.g4dn.xlarge", steady(15800), count=4),
    ),
    Endpoint(
        name="speech-to-text",
        labels=production(SUPPORT_ASSISTANT),
        age=150,
        variants=only("ml.g4dn.xlarge", steady(95)),
        backlog=1,
    ),
    Endpoint(
        name="title-generator",
        labels=production(CATALOG_IMAGES),
        age=45,
        variants=only(None, steady(130)),
    ),
    Endpoint(
        name="ranker-staging",
        labels=Labels(project=SEARCH_RELEVANCE, owner=RAVI, managed_by="terraform"),
        age=25,
        variants=only("ml.g4dn.xlarge", steady(30)),
    ),
    Endpoint(
        name="moderation-staging",
        labels=Labels(project=LISTING_MODERATION, owner=NOAH),
        age=83,
        variants=only("ml.g4dn.xlarge", steady(12)),
    ),
)
