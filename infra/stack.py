"""The stack: everything that is deployed, made from the registry of detectors and janitor.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import Duration, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.code import code
from infra.dashboard import dashboard
from infra.function import ScheduledFunction, Shared
from infra.ledger import Ledger
from infra.reports import Reports
from janitor.detector import allow
from janitor.settings import FILE, Settings

ROOT = Path(__file__).parent.parent


class JanitorStack(Stack):
    """
    One scheduled function per enabled detector, a digest, and what they share.

    *settings* decide which detectors there are and when they run; they are validated before
    anything is made, by the same code that reads them in Lambda.
    """

    def __init__(
        self, scope: Construct, id_: str, *, settings: Settings | None = None, **kwargs: Any
    ) -> None:
        super().__init__(scope, id_, **kwargs)
        settings = settings or Settings.load(files=[ROOT / FILE])
        self.topic = sns.Topic(self, "Alarms", display_name="ML Janitor", enforce_ssl=True)
        self.ledger = Ledger(self, "Ledger")
        self.reports = Reports(self, "Reports")
        shared = Shared(
            code=code("arm64"),
            architecture=lambda_.Architecture.ARM_64,
            topic=self.topic,
            time_zone=settings.janitor.time_zone,
            environment={
                "JANITOR_TABLE": self.ledger.table_name,
                "JANITOR_BUCKET": self.reports.bucket_name,
            },
        )
        own = [
            *(
                allow(f"dynamodb:{action}", on=self.ledger.table_arn)
                for action in ("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")
            ),
            *self._slack(settings),
        ]
        self.functions: dict[str, lambda_.IFunction] = {}
        for detector in settings.enabled():
            made = ScheduledFunction(
                self,
                type(detector).__name__,
                name=detector.name,
                description=detector.summary(),
                handler="janitor.handlers.sweep",
                schedule=settings.schedule(type(detector)),
                grants=[
                    *detector.reads,
                    *own,
                    allow("s3:PutObject", on=self.reports.arn_for_objects(f"{detector.name}/*")),
                ],
                shared=shared,
                environment={"JANITOR_DETECTOR": detector.name},
                memory=1024,
            )
            self.functions[detector.name] = made.function
        ScheduledFunction(
            self,
            "Digest",
            name="digest",
            description="Says once a day what all sweeps found, and which did not run.",
            handler="janitor.handlers.digest",
            schedule=settings.janitor.digest_schedule,
            grants=own,
            shared=shared,
            environment={},
            timeout=Duration.minutes(5),
        )
        dashboard(self, "Dashboard", self.functions)
        cdk.CfnOutput(
            self, "AlarmTopic", value=self.topic.topic_arn, description="Subscribe whoever is on call"
        )
        cdk.CfnOutput(self, "LedgerTable", value=self.ledger.table_name)
        cdk.CfnOutput(self, "ReportBucket", value=self.reports.bucket_name)

    def _slack(self, settings: Settings) -> list[Any]:
        """Reading the one secret that holds Slack's token, where Slack is used at all."""
        if not settings.janitor.slack_secret:
            return []
        name = self.format_arn(
            service="secretsmanager",
            resource="secret",
            resource_name=f"{settings.janitor.slack_secret}-??????",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        return [allow("secretsmanager:GetSecretValue", on=name)]
