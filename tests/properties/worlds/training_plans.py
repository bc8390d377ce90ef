"""Training plans that began some days ago, and what may or may not run on them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import DAY, EXEMPT, HOUR, ROLE, UNKEPT, Account, Kind, Thing, spans
from sagemaker_requests import configure, hosting, rented, training_request

DETECTOR = "unused-training-plans"
LISTINGS = {DETECTOR: {"sagemaker:ListTrainingPlans"}}
RARE = True
LISTS = {
    "training-job": "sagemaker:ListTrainingJobs",
    "hyperpod-cluster": "sagemaker:ListClusters",
    "endpoint": "sagemaker:ListEndpoints",
}
TYPE = "ml.p5.48xlarge"


@dataclass(frozen=True, kw_only=True)
class Plan(Thing):
    """
    A plan for *target* that began so long ago; *used* by something that names it, or by what names another.

    *in_use* of its instances are busy now; None is an answer without their number.
    """

    calls = ("sagemaker:ListTrainingPlans", "tag:GetResources", *LISTS.values(), "sagemaker:DescribeEndpoint")

    target: str
    status: str
    began: timedelta
    in_use: int | None
    used: str

    def build(self, account: Account) -> None:
        name, sagemaker = account.name("plan"), account.sagemaker
        account.be(self.began)
        made: Any = sagemaker.create_training_plan(
            TrainingPlanName=name, TrainingPlanOfferingId="offering-1", Tags=self.labels.listed
        )
        arn = made["TrainingPlanArn"]
        starts, ends = account.now - self.began, account.now + 20 * DAY
        block = {
            "ReservedCapacityArn": arn.replace("training-plan", "reserved-capacity"),
            "InstanceType": TYPE,
            "TotalInstanceCount": 2,
            "Status": "Active",
            "StartTime": starts,
            "EndTime": ends,
        }
        members: dict[str, Any] = {
            "Status": self.status,
            "StartTime": starts,
            "EndTime": ends,
            "UpfrontFee": "10000.0",
            "CurrencyCode": "USD",
            "TargetResources": [self.target],
            "ReservedCapacitySummaries": [block],
        }
        if self.in_use is not None:
            members["InUseInstanceCount"] = self.in_use
        account.control.patch("sagemaker", ["training_plans", name], **members)
        if self.used:
            self.use(account, name, arn if self.used == "it" else f"{arn}-2")
        waste = self.status == "Active" and self.began >= DAY and self.in_use == 0 and self.used != "it"
        needs = {"sagemaker:ListTrainingPlans", "tag:GetResources", LISTS.get(self.target, "")}
        if self.target == "endpoint" and self.used:
            needs.add("sagemaker:DescribeEndpoint")
        known = self.target in LISTS and not self.labels.exempt
        account.claim(DETECTOR, arn, waste=waste and known, needs=needs)

    def use(self, account: Account, name: str, plan: str) -> None:
        """Make a job that has ended, a cluster or an endpoint that names *plan*."""
        sagemaker: Any = account.sagemaker
        match self.target:
            case "hyperpod-cluster":
                group = {
                    "InstanceCount": 1,
                    "InstanceGroupName": "workers",
                    "InstanceType": TYPE,
                    "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-a/b", "OnCreate": "on_create.sh"},
                    "ExecutionRole": ROLE,
                    "TrainingPlanArn": plan,
                }
                sagemaker.create_cluster(ClusterName=name, InstanceGroups=[group])
            case "endpoint":
                reserved = {"MlReservationArn": plan}
                configure(sagemaker, hosting(name, TYPE, CapacityReservationConfig=reserved))
                sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
            case _:
                sagemaker.create_training_job(
                    **training_request(name, rented(TYPE, TrainingPlanArn=plan), out="s3://plans/out")
                )
                ended: Any = {"TrainingJobStatus": "Completed", "TrainingEndTime": account.now - HOUR}
                account.control.patch("sagemaker", ["training_jobs", name], **ended)


KINDS = tuple(
    Kind.of(
        Plan,
        labels=(UNKEPT, EXEMPT),
        target=([target], ["studio-apps", "capacity-for-the-unheard-of"]),
        status=(["Active"], ["Scheduled", "Pending", "Expired", "Failed"]),
        began=(spans(DAY, 5, 1), [DAY - HOUR]),
        in_use=([0], [1, None]),
        used=(["", "another"] if target != "endpoint" else ["another", ""], ["it"]),
    )
    for target in LISTS
)
