"""MLflow tracking servers, and what people and clients did with them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import DAY, EXEMPT, HOUR, ROLE, UNKEPT, Account, Kind, Thing, spans

DETECTOR = "unused-mlflow-servers"
LISTINGS = {DETECTOR: {"sagemaker:ListMlflowTrackingServers"}}
RARE = True
OPENED = "CreatePresignedMlflowTrackingServerUrl"
STARTED = "StartMlflowTrackingServer"


@dataclass(frozen=True, kw_only=True)
class Server(Thing):
    """
    A server *made* so long ago: *active* is what `IsActive` says, which means nothing.

    *called* is a call about it or, with "!", about another server, and how long ago that was. An object was
    *stored* so long ago below its artifact store, or beside that if *beside*.
    """

    calls = (
        "sagemaker:ListMlflowTrackingServers",
        "sagemaker:DescribeMlflowTrackingServer",
        "cloudtrail:LookupEvents",
        "s3:ListObjectsV2",
        "tag:GetResources",
    )

    made: timedelta
    status: str
    active: str
    called: tuple[str, timedelta] | None
    stored: timedelta | None
    beside: bool

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("tracking"), account.sagemaker
        account.be(self.made)
        bucket = f"artifacts-of-{name}"
        account.s3.create_bucket(Bucket=bucket)
        made = sagemaker.create_mlflow_tracking_server(
            TrackingServerName=name,
            ArtifactStoreUri=f"s3://{bucket}/mlflow",
            RoleArn=ROLE,
            Tags=self.labels.listed,
        )
        said: dict[str, Any] = {"TrackingServerStatus": self.status, "IsActive": self.active}
        if self.stored is not None:
            account.be(self.stored)
            folder = "mlflow-2" if self.beside else "mlflow"
            account.s3.put_object(Bucket=bucket, Key=f"{folder}/1/a/artifacts/model.pkl", Body=b"weights")
        account.control.patch("sagemaker", ["mlflow_tracking_servers", name], **said)
        called = self.called is not None and not self.called[0].startswith("!")
        if self.called is not None:
            call, ago = self.called
            asked = {"trackingServerName": name if called else f"{name}-2"}
            event = {"EventName": call.lstrip("!"), "EventTime": account.now - ago}
            account.control.cloudtrail([event | {"CloudTrailEvent": {"requestParameters": asked}}])
        used = called and self.called is not None and self.called[1] < 14 * DAY
        wrote = self.stored is not None and not self.beside and self.stored < 14 * DAY
        up = self.status not in {"Stopped", "CreateFailed", "Deleting"} and self.made >= 14 * DAY
        account.claim(
            DETECTOR,
            made["TrackingServerArn"],
            waste=up and not used and not wrote and not self.labels.exempt,
            needs=self.calls,
        )


SERVERS = Kind.of(
    Server,
    labels=(UNKEPT, EXEMPT),
    made=(spans(DAY, 60, 14), [14 * DAY - HOUR]),
    status=(["Created", "Started", "MaintenanceComplete"], ["Stopped", "CreateFailed", "Deleting"]),
    active=(["Active", "Inactive"],),
    called=(
        [None, (OPENED, 15 * DAY), (f"!{OPENED}", HOUR)],
        [(OPENED, HOUR), (OPENED, 13 * DAY), (STARTED, 13 * DAY)],
    ),
    stored=([None, 15 * DAY], [HOUR, 13 * DAY]),
    beside=([False],),
)
BESIDE = Kind(make=Server, waste={**SERVERS.waste, "stored": [HOUR], "beside": [True]}, other={})
KINDS = (SERVERS, BESIDE)
