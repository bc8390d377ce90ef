"""What deleting an endpoint, and bringing it back, needs of IAM beyond what finding it reads."""

from __future__ import annotations

from ml_janitor.engine.detector import Condition, Grant, allow, implied

AUTHORIZATION = "Service Authorization Reference for Amazon SageMaker: dependent actions"
SCALING = (
    "Application Auto Scaling User Guide, identity-based policy examples: permissions for target services"
)
KEYS = "Amazon SageMaker API Permissions Reference: CreateEndpoint, where the configuration has a KmsKeyId"
TARGETS, COMPONENTS, CONFIGS = "scalable-target/*", "inference-component/*", "endpoint-config/*"
ENDPOINTS = "endpoint/*"

ACTS: tuple[Grant, ...] = (
    allow("sagemaker:ListTags", on=CONFIGS),
    allow("sagemaker:DescribeInferenceComponent", on=COMPONENTS),
    allow("sagemaker:ListInferenceExperiments"),
    allow("sagemaker:DescribeInferenceExperiment", on="inference-experiment/*"),
    allow("application-autoscaling:DescribeScalableTargets"),
    allow("application-autoscaling:DescribeScalingPolicies"),
    allow("application-autoscaling:DescribeScheduledActions"),
    allow("application-autoscaling:ListTagsForResource", on=TARGETS),
    allow("application-autoscaling:DeregisterScalableTarget", on=TARGETS),
    allow("sagemaker:DeleteInferenceComponent", on=COMPONENTS),
    allow("sagemaker:DeleteEndpoint", on=ENDPOINTS),
    implied("cloudwatch:DeleteAlarms", on="alarm:TargetTracking*", source=SCALING),
)

UNDOES: tuple[Grant, ...] = (
    allow("sagemaker:DescribeEndpoint", on=ENDPOINTS),
    allow("sagemaker:DescribeEndpointConfig", on=CONFIGS),
    allow("sagemaker:CreateEndpointConfig", on=CONFIGS),
    allow("sagemaker:CreateEndpoint", on=ENDPOINTS),
    implied("sagemaker:CreateEndpoint", on=CONFIGS, source=AUTHORIZATION),
    allow("sagemaker:DeleteEndpoint", on=ENDPOINTS),
    allow("sagemaker:UpdateEndpointWeightsAndCapacities", on=ENDPOINTS),
    allow("sagemaker:DescribeInferenceComponent", on=COMPONENTS),
    allow("sagemaker:CreateInferenceComponent", on=COMPONENTS),
    implied("sagemaker:CreateInferenceComponent", on=ENDPOINTS, source=AUTHORIZATION),
    allow("sagemaker:DeleteInferenceComponent", on=COMPONENTS),
    allow("application-autoscaling:RegisterScalableTarget", on=TARGETS),
    allow("application-autoscaling:TagResource", on=TARGETS),
    allow("application-autoscaling:PutScalingPolicy", on=TARGETS),
    allow("application-autoscaling:PutScheduledAction", on=TARGETS),
    implied("sagemaker:AddTags", on=CONFIGS, source=AUTHORIZATION),
    implied("sagemaker:AddTags", on=ENDPOINTS, source=AUTHORIZATION),
    implied("sagemaker:AddTags", on=COMPONENTS, source=AUTHORIZATION),
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
    implied("sagemaker:UpdateInferenceComponentRuntimeConfig", on=COMPONENTS, source=SCALING),
    implied("cloudwatch:DescribeAlarms", on="alarm:*", source=SCALING),
    implied("cloudwatch:PutMetricAlarm", on="alarm:TargetTracking*", source=SCALING),
    implied("cloudwatch:DeleteAlarms", on="alarm:TargetTracking*", source=SCALING),
)
"""Deleting is among them for what AWS could not create: its name is taken, so it has to go first."""
