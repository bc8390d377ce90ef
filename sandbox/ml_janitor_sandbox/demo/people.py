"""Who works at the demo's company, on what, and how they label what they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DOMAIN = "example.com"

AISHA, DANIEL, ELENA, HANA, JONAS = "aisha.bello", "daniel.okafor", "elena.rossi", "hana.sato", "jonas.becker"
LUCAS, MARTA, MEILING, NOAH, OMAR = (
    "lucas.moreau",
    "marta.kowalska",
    "mei-ling.zhou",
    "noah.williams",
    "omar.haddad",
)
PRIYA, RAVI, SOFIA, TOMAS, YUKI = (
    "priya.raman",
    "ravi.menon",
    "sofia.lindgren",
    "tomas.herrera",
    "yuki.tanaka",
)

PIPELINE = "deploy-pipeline"
"""The role that most things in production are created by."""


@dataclass(frozen=True, slots=True)
class Project:
    """Something a *team* works on, who leads it, and who pays."""

    name: str
    team: str
    cost_center: str
    lead: str


CHECKOUT_FRAUD = Project("checkout-fraud", "fraud", "cc-4120", TOMAS)
ACCOUNT_TAKEOVER = Project("account-takeover", "fraud", "cc-4120", MARTA)
SEARCH_RELEVANCE = Project("search-relevance", "search-ranking", "cc-4210", JONAS)
QUERY_UNDERSTANDING = Project("query-understanding", "search-ranking", "cc-4210", SOFIA)
HOME_FEED = Project("home-feed", "recommendations", "cc-4230", PRIYA)
SIMILAR_ITEMS = Project("similar-items", "recommendations", "cc-4230", LUCAS)
CATALOG_IMAGES = Project("catalog-images", "vision", "cc-4310", MEILING)
LISTING_MODERATION = Project("listing-moderation", "vision", "cc-4310", YUKI)
SUPPORT_ASSISTANT = Project("support-assistant", "nlp", "cc-4350", AISHA)
FOUNDATION_MODELS = Project("foundation-models", "nlp", "cc-4355", OMAR)
DEMAND_FORECAST = Project("demand-forecast", "forecasting", "cc-4410", ELENA)
PRICING = Project("dynamic-pricing", "forecasting", "cc-4410", HANA)
PLATFORM = Project("ml-platform", "ml-platform", "cc-4010", DANIEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """
    The tags of one resource.

    *owner* is the project's lead unless said otherwise; None leaves the tag out. *stack* is the
    CloudFormation stack that made it. *also* are further tags, such as one that says keep.
    """

    project: Project
    environment: str = "staging"
    owner: str | None = ""
    managed_by: str = "manual"
    stack: str | None = None
    also: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    @property
    def creator(self) -> str:
        """Who CloudTrail saw: a person for what was made by hand, else the pipeline."""
        return (self.owner or self.project.lead) if self.managed_by == "manual" else PIPELINE

    def tags(self) -> list[dict[str, str]]:
        """As the Tags of a Create call."""
        project = self.project
        values = {
            "team": project.team,
            "project": project.name,
            "environment": self.environment,
            "cost-center": project.cost_center,
            "managed-by": self.managed_by,
        }
        if self.owner is not None:
            values["owner"] = f"{self.owner or project.lead}@{DOMAIN}"
        if self.stack is not None:
            values["aws:cloudformation:stack-name"] = self.stack
        values |= self.also
        return [{"Key": key, "Value": value} for key, value in values.items() if key not in self.without]
