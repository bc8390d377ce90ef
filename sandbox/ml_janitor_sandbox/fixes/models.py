"""SageMaker models: what an endpoint configuration names."""

from __future__ import annotations

from typing import Any

from ml_janitor_sandbox.listing import serve_describe, serve_list
from ml_janitor_sandbox.patches import Call, serves
from ml_janitor_sandbox.shelves import create, delete, kind

MODEL = kind(
    "Model",
    "models",
    "model",
    missing='Could not find model "{arn}".',
    duplicate=("ValidationException", 'Cannot create already existing model "{arn}".'),
)
serve_describe(MODEL)
serve_list(MODEL)


@serves("sagemaker", "CreateModel")
def create_model(call: Call) -> dict[str, Any]:
    """Keep the model as sent."""
    return {"ModelArn": create(call, MODEL).arn}


@serves("sagemaker", "DeleteModel")
def delete_model(call: Call) -> None:
    """Models in use may be deleted; whether AWS allows it is not documented."""
    delete(call, MODEL)
