"""Does something once per key, however often Lambda delivers the event: Powertools' idempotency."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def once(
    work: Callable[[], dict[str, Any]],
    *,
    key: Mapping[str, Any],
    table: str,
    context: LambdaContext,
    keep: timedelta,
) -> dict[str, Any]:
    """
    The answer of *work*, done now or remembered from before.

    Records stand in the ledger's table under "idempotency#..." keys of their own. Work that raises
    is forgotten, so that a retry does it again; work that was killed is free again when its time
    would have been over.
    """
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )

    config = IdempotencyConfig(expires_after_seconds=int(keep.total_seconds()))
    config.register_lambda_context(context)
    layer = DynamoDBPersistenceLayer(
        table_name=table,
        key_attr="pk",
        sort_key_attr="sk",
        static_pk_value=f"idempotency#{key['detector']}",
        expiry_attr="expires",
        in_progress_expiry_attr="in_progress_expires",
        status_attr="status",
        data_attr="answer",
    )

    # The decorator of Powertools is not typed.
    @idempotent_function(data_keyword_argument="key", persistence_store=layer, config=config)  # type: ignore[untyped-decorator]
    def done(*, key: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - read by the decorator
        return work()

    answer: dict[str, Any] = done(key=dict(key))
    return answer
