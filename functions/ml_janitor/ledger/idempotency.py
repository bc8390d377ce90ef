"""Do work once per event, however often Lambda delivers the event, by Powertools' idempotency."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from ml_janitor.config.events import FunctionContext
    from ml_janitor.ledger.table import Table

InProgressError = IdempotencyAlreadyInProgressError
"""Another invocation is at work on the same event. Lambda's own retry then gets its answer."""

IDEMPOTENCY_KEY = "idempotency"
_ANSWER_RETENTION = timedelta(hours=24)
"""Time for which an answer is remembered. Lambda and its scheduler give up on an event much sooner."""


def run_once(
    work: Callable[[], dict[str, Any]],
    *,
    name: str,
    event: str,
    table: Table,
    context: FunctionContext,
) -> dict[str, Any]:
    """
    Return the answer of *work* to *event*, done now or remembered from before.

    Records stand in the ledger's table under keys of their own, "idempotency#" and the function's *name*.
    Work that raises is forgotten, so that a retry does it again. Work that was killed is free again when its
    time would have been over. Raises InProgressError.
    """
    config = IdempotencyConfig(
        expires_after_seconds=int(_ANSWER_RETENTION.total_seconds()), hash_function="sha256"
    )
    config.register_lambda_context(cast("LambdaContext", context))
    layer = DynamoDBPersistenceLayer(
        table_name=table.name,
        key_attr="pk",
        sort_key_attr="sk",
        static_pk_value=f"{IDEMPOTENCY_KEY}#{name}",
        expiry_attr=EXPIRES_ATTRIBUTE,
        in_progress_expiry_attr="in_progress_expires",
        data_attr="answer",
        boto3_client=table.client,
    )

    # The decorator of Powertools has no types.
    @idempotent_function(  # type: ignore[untyped-decorator]
        data_keyword_argument="event", persistence_store=layer, config=config, key_prefix="event"
    )
    def done(*, event: str) -> dict[str, Any]:  # noqa: ARG001 - read by the decorator
        return work()

    try:
        answer: dict[str, Any] = done(event=event)
    except InProgressError:
        raise InProgressError(f"another invocation of {name} is at work on the same event") from None
    return answer
