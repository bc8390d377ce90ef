"""The fixtures of `corrected`."""

from corrected import _clients, _mocked, aws, control, endpoint, later, sagemaker, training

__all__ = ["_clients", "_mocked", "aws", "control", "endpoint", "later", "sagemaker", "training"]
