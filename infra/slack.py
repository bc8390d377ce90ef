"""The receivers of Slack's buttons: a function with a URL that checks and passes on, and a worker."""

from __future__ import annotations

import json
from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.alarms import create_alarm
from infra.function import JanitorFunction, SharedProperties
from infra.permissions import RolePermissions
from infra.rights import allow_invoking
from ml_janitor.engine.detector import Grant


class SlackButtons(Construct):
    """
    Two functions, because Slack wants an answer within three seconds.

    The receiver faces the internet: it verifies Slack's signature and may do nothing but invoke the worker.
    The worker writes holds and requests into the ledger, and invokes the functions that act and undo; neither
    holds a permission on a customer's resource.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        signing_secret: str,
        secret: Grant,
        own: RolePermissions,
        shared: SharedProperties,
        sweeps: Mapping[str, lambda_.IFunction],
        undo: lambda_.IFunction | None,
        concurrency: int,
    ) -> None:
        super().__init__(scope, id_)
        worker = JanitorFunction(
            self,
            "Worker",
            name="slack-worker",
            description="Does what a button in Slack asks for, if whoever pressed it may.",
            handler="pressed",
            allowed=[own, allow_invoking(*([undo] if undo is not None else []), *sweeps.values())],
            shared=shared,
            environment={
                "JANITOR_FUNCTIONS": json.dumps(
                    {name: function.function_name for name, function in sweeps.items()}
                ),
                **({"JANITOR_UNDO": undo.function_name} if undo is not None else {}),
            },
            timeout=Duration.minutes(2),
        )
        receiver = JanitorFunction(
            self,
            "Receiver",
            name="slack-receiver",
            description="Takes what Slack sends, checks its signature and passes it on.",
            handler="interact",
            allowed=[allow_invoking(worker.function), RolePermissions([secret])],
            shared=shared,
            environment={
                "JANITOR_SIGNING_SECRET": signing_secret,
                "JANITOR_WORKER": worker.function.function_name,
            },
            memory=1024,
            timeout=Duration.seconds(10),
            answers=True,
            concurrency=concurrency or None,  # anybody may call it: no more of the account's than this
        )
        # Lambda counts failures of the receiver as 5xx (developer guide, "Monitoring Lambda function URLs").
        # Its refusals are 4xx, of which anybody may cause as many as they like.
        create_alarm(
            receiver,
            "NotTaken",
            metric=receiver.function.metric("Url5xxCount", period=Duration.minutes(15), statistic="Sum"),
            says="slack-receiver: a press in Slack could not be taken. Its log group says why.",
            topic=shared.topic,
        )
        url = receiver.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)
        cdk.CfnOutput(
            cdk.Stack.of(self), "SlackRequestUrl", value=url.url, description="For Slack's interactivity"
        )
