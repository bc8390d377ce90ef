"""Lines of the bill for bytes that leave the region, and what may or may not move them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import ACCOUNT, DAY, ROLE, Account, Kind, Thing
from sagemaker_requests import processing_request, rented, training_request

DETECTOR = "cross-region-traffic"
LISTINGS = {DETECTOR: {"ce:GetCostAndUsage"}}
GB = 1024**3

FAR = {
    # one for each line, so that none is added to another
    "AFS1": "af-south-1", "APE1": "ap-east-1", "APN1": "ap-northeast-1", "APN2": "ap-northeast-2",
    "APN3": "ap-northeast-3", "APS1": "ap-southeast-1", "APS2": "ap-southeast-2", "APS3": "ap-south-1",
    "CAN1": "ca-central-1", "EU": "eu-west-1", "EUC1": "eu-central-1", "EUN1": "eu-north-1",
    "EUS1": "eu-south-1", "EUW2": "eu-west-2", "EUW3": "eu-west-3", "MES1": "me-south-1",
    "APS4": "ap-southeast-3", "ILC1": "il-central-1", "MEC1": "me-central-1",
    "APS5": "ap-south-2", "SAE1": "sa-east-1", "USE2": "us-east-2", "USW1": "us-west-1", "USW2": "us-west-2",
}  # fmt: skip
THIRD = "ca-west-1"

SHARED_CALLS = ("ce:GetCostAndUsage", "sagemaker:Search", "sagemaker:ListProcessingJobs", "s3:ListBuckets")
RENTED: Any = {"ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}}


def line(account: Account, operation: str, gb: float) -> tuple[str, str]:
    """Charge *gb* in 30 days, to a region of its own: that region, and the ARN of the line."""
    number = int(account.name("line").rpartition("-")[2].replace("line", "0") or 0)
    code, region = list(FAR.items())[number]
    usage = f"USE1-{code}-AWS-Out-Bytes"
    charge = {
        "service": "Amazon Simple Storage Service",
        "usage_type": usage,
        "operation": operation,
        "start": f"{account.now - 30 * DAY:%Y-%m-%dT00:00:00Z}",
        "end": f"{account.now:%Y-%m-%dT00:00:00Z}",
        "usd": gb * 0.02,
        "quantity": gb,
        "unit": "GB",
    }
    account.control.charge([charge])
    return region, f"arn:aws:ce:us-east-1:{ACCOUNT}:usage-type/{usage}/{operation}"


def client(account: Account, service: str, region: str) -> Any:
    return account.session.client(service, region_name=region)  # type: ignore[call-overload]


@dataclass(frozen=True, kw_only=True)
class Read(Thing):
    """
    So many *gb* that leave by an *operation*, and a program that names *address*, *where* and *told* so.

    The bucket holds so many bytes of data, and the program was made so long *ago*.
    """

    calls = (*SHARED_CALLS, "sagemaker:DescribeProcessingJob", "s3:ListObjectsV2", "s3:GetBucketReplication")

    operation: str
    gb: float
    told: str
    address: str
    where: str
    ago: timedelta
    data: int

    def build(self, account: Account) -> None:
        region, arn = line(account, self.operation, self.gb)
        bucket = account.name("catalog")
        account.be(200 * DAY)
        account.s3.create_bucket(Bucket=bucket)
        account.s3.put_object(Bucket=bucket, Key="images/1.jpg", Body=b"")
        account.control.declare([{"bucket": bucket, "key": "images/1.jpg", "size": self.data}])
        place = {"there": region, "here": "us-east-1", "third": THIRD}[self.where]
        address = self.address.format(bucket)
        account.be(self.ago)
        self.program(client(account, "sagemaker", place), account.name("reader"), address)
        found = (
            self.operation in {"GetObject", "ReadACL", "CopyObject"}
            and self.gb * 0.02 >= 10
            and self.told in {"environment", "hyperparameter", "argument", "model"}
            and self.where == "there"
            and self.ago < 30 * DAY
            and "backup" not in address
            and "nothing" not in address
            and self.gb * 730 / 720 > self.data / GB
        )
        account.claim(DETECTOR, arn, waste=found, needs=self.calls[:-1])

    def program(self, sagemaker: Any, name: str, address: str) -> None:
        source = {"S3DataType": "S3Prefix", "S3Uri": address}
        told: dict[str, Any] = {"Environment": {"DATA": address}} if self.told == "environment" else {}
        match self.told:
            case "model" | "idle model":
                container = {"Image": "image", "Environment": {"DATA": address}}
                sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
                variant = {
                    "VariantName": "a",
                    "ModelName": name,
                    "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
                }
                sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
                if self.told == "model":
                    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
            case "hyperparameter" | "channel":
                if self.told == "hyperparameter":
                    told = {"HyperParameters": {"data": address}}
                else:
                    channel = {"ChannelName": "a", "DataSource": {"S3DataSource": source}}
                    told = {"InputDataConfig": [channel]}
                sagemaker.create_training_job(
                    **training_request(name, rented("ml.m5.xlarge", 1, 30), out="s3://elsewhere/", **told)
                )
            case _:
                arguments = {"ContainerArguments": ["--data", address]} if self.told == "argument" else {}
                sagemaker.create_processing_job(
                    **processing_request(
                        name,
                        ProcessingResources=RENTED,
                        AppSpecification={"ImageUri": "image", **arguments},
                        **told,
                    )
                )


@dataclass(frozen=True, kw_only=True)
class Replication(Thing):
    """A replication rule, its *status*, *where* its destination is, and how a job there *uses* that."""

    calls = (*SHARED_CALLS, "s3:GetBucketReplication")

    operation: str
    status: str
    where: str
    uses: str

    def build(self, account: Account) -> None:
        region, arn = line(account, self.operation, 5000)
        source, copies = account.name("source"), account.name("copies")
        place = region if self.where == "there" else THIRD
        account.be(200 * DAY)
        account.s3.create_bucket(Bucket=source)
        far = client(account, "s3", place)
        far.create_bucket(Bucket=copies, CreateBucketConfiguration={"LocationConstraint": place})
        for s3, bucket in ((account.s3, source), (far, copies)):
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        destination = copies if self.where != "abroad" else "of-others"
        rule: Any = {
            "ID": "all",
            "Priority": 1,
            "Status": self.status,
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{destination}"},
        }
        account.s3.put_bucket_replication(
            Bucket=source, ReplicationConfiguration={"Role": ROLE, "Rules": [rule]}
        )
        account.be(5 * DAY)
        if self.uses:
            told = {"channel": "channel", "environment": "environment"}[self.uses]
            reads = Read(operation="", gb=0, told=told, address="", where="", ago=DAY, data=0)
            reads.program(client(account, "sagemaker", place), account.name("user"), f"s3://{copies}/images/")
        found = (
            self.operation == "GetObjectForRepl"
            and self.status == "Enabled"
            and self.where == "there"
            and not self.uses
        )
        account.claim(DETECTOR, arn, waste=found, needs=self.calls)


READS = Kind.of(
    Read,
    operation=(["GetObject"], ["GetObjectForRepl", "PutObject"]),
    gb=([5000.0], [400.0]),
    told=(["environment", "hyperparameter", "argument", "model"], ["channel", "idle model"]),
    address=(["s3://{}/images/", "{}"], ["s3://{}-backup/images/", "s3://{}/nothing/"]),
    where=(["there"], ["here", "third"]),
    ago=([5 * DAY], [40 * DAY]),
    data=([100 * GB], [6000 * GB]),
)
JOBS = READS.but(told=(["hyperparameter"],), address=(["s3://{}/images/"],), ago=([5 * DAY], [40 * DAY]))
REPLICATIONS = Kind.of(
    Replication,
    operation=(["GetObjectForRepl"], ["GetObject"]),
    status=(["Enabled"], ["Disabled"]),
    where=(["there"], ["third"]),
    uses=([""], ["channel", "environment"]),
)
KINDS = (READS, JOBS, REPLICATIONS)
