"""Routes in janitor.toml: what they match, and in which one line those that lead nowhere are refused."""

from dataclasses import replace
from typing import Any

import pytest

from fakes import TRUST, Tunable, thing, waste
from ml_janitor.config.sections import Routes, unmatched_routes
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor.core.model import Unreadable
from tables import cases

BOT = {"slack_channel": "#ml-costs", "slack_secret": "ml-janitor/slack"}
ACCOUNTS = {**TRUST, "accounts": ["111111111111", "222222222222"]}


def parsed(routes: Any, **tables: Any) -> Settings:
    return Settings.parse({"janitor": BOT, "slack": {"routes": routes}, **tables}, registry=(Tunable,))


@cases(
    "team, account, channel",
    ("vision", "123456789012", "#vision"),
    ("  Vision ", "210987654321", "#vision"),
    ("ml-ops", "210987654321", "C0MLOPS00"),
    ("ML Ops", "123456789012", "C0MLOPS00"),
    ("search", "123456789012", "#prod"),
    ("search", "210987654321", ""),
    ("main", "123456789012", ""),
    ("", "123456789012", "#prod"),
    (None, "123456789012", "#prod"),
    (None, "210987654321", ""),
)
def test_the_team_comes_before_the_account(team: str | None, account: str, channel: str) -> None:
    routes = parsed(
        {
            "team:vision": "#vision",
            "team:ml_ops": "C0MLOPS00",
            "team:main": "#ml-costs",
            "account:123456789012": "#prod",
        }
    ).routes
    target = replace(thing("a", waste(), {"Team": team} if team is not None else {}).target, account=account)

    assert routes.channel(target) == channel


def test_a_resource_whose_tags_cannot_be_read_has_no_team() -> None:
    routes = Routes.of({"team:vision": "#vision"}, main="#ml-costs")
    assert routes.channel(thing("a", waste(), Unreadable("denied")).target) == ""


ALL_BUT_ONE = {**TRUST, "id": "o-a1b2c3d4e5", "all_accounts": True, "without": ["333333333333"]}


@cases(
    "routes, why",
    ({"teams:vision": "#v"}, 'slack.routes: "teams:vision" is not a route; expected "team:NAME", with'),
    ({"acount:123456789012": "#v"}, '"account:123456789012"; did you mean account?'),
    ({"vision": "#v"}, '"vision" is not a route'),
    ({"team: ": "#v"}, '"team: " is not a route'),
    ({"team:vision": "vision"}, 'slack.routes.team:vision: expected a channel such as "#ml-costs", or its'),
    ({"team:vision": "vision"}, 'did you mean "#vision"?, got "vision"'),
    ({"team:vision": "#Vision"}, 'or its id, such as "C0123456789", got "#Vision"'),
    ({"team:vision": "U0123456789"}, "slack.routes.team:vision: expected a channel"),
    ({"team:vision": "@maria"}, "slack.routes.team:vision: expected a channel"),
    ({"team:vision": ""}, "slack.routes.team:vision: expected a channel"),
    ({"team:vision": ["#a"]}, "slack.routes.team:vision: expected a text in quotes"),
    ({"team:vision": "xoxb-1-2-abc"}, "got (not shown: it looks like a secret)"),
    ("#vision", 'slack.routes: expected a table, got "#vision"'),
    (
        {"team:ML Ops": "#a", "team:ml-ops": "#b"},
        'slack.routes: "team:ML Ops" and "team:ml-ops" are the same team: leave one of them',
    ),
    ({"account:12345678901": "#a"}, "names no account; expected 12 digits"),
)
def test_a_route_that_leads_nowhere_is_refused_in_one_line(routes: Any, why: str) -> None:
    refused_in_one_line(routes, {}, why)


def refused_in_one_line(routes: Any, tables: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parsed(routes, **tables)

    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@cases(
    "route, table, given, why",
    (
        "account:111111111112", "organization", ACCOUNTS,
        "matches nothing, because organization.accounts does not name it; did you mean 111111111111?",
    ),
    (
        "account:333333333333", "organization", ALL_BUT_ONE,
        '"account:333333333333" matches nothing, because organization.without leaves it out',
    ),
    ("team:a", "janitor", {}, "slack.routes needs janitor.slack_secret"),
    (
        "team:a", "janitor", {"slack_secret": "ml-janitor/slack"},
        "and the app's bot: an incoming webhook posts to one channel only",
    ),
)  # fmt: skip
def test_a_route_needs_its_account_and_a_bot(route: str, table: str, given: Any, why: str) -> None:
    refused_in_one_line({route: "#a"}, {table: given}, why)


@pytest.mark.parametrize("account", ["111111111111", "222222222222"])
def test_an_account_that_is_looked_at_may_have_a_route(account: str) -> None:
    assert parsed({f"account:{account}": "#a"}, organization=ACCOUNTS).routes.accounts == {account: "#a"}


def test_routes_of_other_accounts_are_idle_where_one_alone_is_looked_at() -> None:
    routes = {"account:111111111111": "#a", "account:222222222222": "#b", "team:vision": "#c"}

    assert unmatched_routes(routes, "111111111111") == [
        "account:222222222222 matches nothing: only account 111111111111 is looked at"
    ]
