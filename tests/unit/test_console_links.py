"""The pages of the AWS console."""

from ml_janitor.report.html import console_link
from tables import cases

HERE = "https://eu-west-1.console.aws.amazon.com"
SAGEMAKER = "arn:aws:sagemaker:eu-west-1:123456789012"


@cases(
    "arn, link",
    (f"{SAGEMAKER}:endpoint/ranker", f"{HERE}/sagemaker/home?region=eu-west-1#/endpoints/Ranker"),
    (f"{SAGEMAKER}:training-job/ranker", f"{HERE}/sagemaker/home?region=eu-west-1#/jobs/Ranker"),
    (f"{SAGEMAKER}:app/d-1/maria/jupyterlab/x", f"{HERE}/sagemaker/home?region=eu-west-1#/studio/d-1"),
    ("arn:aws:s3:::models", f"{HERE}/s3/buckets/models?region=eu-west-1"),
    ("arn:aws:s3:::models/a b/c", f"{HERE}/s3/object/models?region=eu-west-1&prefix=a%20b%2Fc"),
    (
        "arn:aws:ecr:eu-west-1:123456789012:repository/team/ranker",
        f"{HERE}/ecr/repositories/private/123456789012/team%2Franker?region=eu-west-1",
    ),
    (f"{SAGEMAKER}:training-job/ranker-*~e7ef460b", f"{HERE}/sagemaker/home?region=eu-west-1#/jobs"),
    (f"{SAGEMAKER}:processing-job/ranker-*", f"{HERE}/sagemaker/home?region=eu-west-1#/processing-jobs"),
    (
        "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/a-b",
        f"{HERE}/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Fa-b",
    ),
    (
        "arn:aws:elasticmapreduce:eu-west-1:123456789012:cluster/j-1",
        f"{HERE}/emr/home?region=eu-west-1#/clusterDetails/j-1",
    ),
    (f"{SAGEMAKER}:pipeline/ranker", ""),
    ("arn:aws:savingsplans:eu-west-1:123456789012:commitment/sagemaker-savings-plan", ""),
    ("arn:aws:ce:eu-west-1:123456789012:usage-type/EUC1-USE1-AWS-Out-Bytes/GetObject", ""),
    (
        f"{SAGEMAKER}:model/ranker".replace("arn:aws:", "arn:aws-cn:"),
        "https://eu-west-1.console.amazonaws.cn/sagemaker/home?region=eu-west-1#/models/Ranker",
    ),
)
def test_each_kind_has_its_page(arn: str, link: str) -> None:
    assert console_link(arn, "Ranker", "eu-west-1") == link
