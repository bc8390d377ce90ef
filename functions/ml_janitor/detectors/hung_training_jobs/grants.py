"""What stopping a job, and submitting it again, needs of IAM beyond what finding it reads."""

from __future__ import annotations

from ml_janitor.detectors.hung_training_jobs.tuning import TUNER
from ml_janitor.engine.detector import Condition, Grant, allow, implied

AUTHORIZATION = "Service Authorization Reference for Amazon SageMaker: dependent actions"
KEYS = "Amazon SageMaker API Permissions Reference: Create...Job, where the job's volumes have a key"
JOBS = {
    "TrainingJob": "training-job/*",
    "ProcessingJob": "processing-job/*",
    "TransformJob": "transform-job/*",
}

ACTS: tuple[Grant, ...] = (
    *(allow(f"sagemaker:Stop{noun}", on=jobs) for noun, jobs in JOBS.items()),
    allow("sagemaker:StopHyperParameterTuningJob", on=f"{TUNER}/*"),
    allow("sagemaker:UpdateTrainingJob", on=JOBS["TrainingJob"]),
)

UNDOES: tuple[Grant, ...] = (
    *(allow(f"sagemaker:Describe{noun}", on=jobs) for noun, jobs in JOBS.items()),
    allow("sagemaker:DescribeHyperParameterTuningJob", on=f"{TUNER}/*"),
    *(allow(f"sagemaker:Create{noun}", on=jobs) for noun, jobs in JOBS.items()),
    *(implied("sagemaker:AddTags", on=jobs, source=AUTHORIZATION) for jobs in JOBS.values()),
    implied(
        "iam:PassRole",
        on="arn:aws:iam::*:role/*",
        source=AUTHORIZATION,
        when=(Condition("StringEquals", "iam:PassedToService", ("sagemaker.amazonaws.com",)),),
    ),
    implied(
        "kms:CreateGrant",
        on="key/*",
        source=KEYS,
        when=(Condition("Bool", "kms:GrantIsForAWSResource", ("true",)),),
    ),
)
"""A tuning job is looked at, since one whose stop broke off has nothing to be brought back."""
