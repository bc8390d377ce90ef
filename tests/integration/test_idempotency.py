"""An event is answered once, however often it is delivered."""

from datetime import timedelta
from typing import Any

import pytest

from ml_janitor.ledger.idempotency import InProgressError, run_once
from ml_janitor.ledger.table import EXPIRES_ATTRIBUTE, Table
from standin import Context


def test_work_is_done_once_for_each_event_unless_it_fails(table: Table) -> None:
    done, asked = list[str](), Context()

    def answer(event: str, *, name: str = "digest", fails: bool = False) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            done.append(f"{name} {event}")
            if fails:
                raise RuntimeError("broke")
            return {"number": len(done)}

        return run_once(work, name=name, event=event, table=table, context=asked)

    with pytest.raises(RuntimeError, match="broke"):
        answer("a", fails=True)
    answers = [answer("a"), answer("a"), answer("b"), answer("a", name="bill")]
    assert [one["number"] for one in answers] == [2, 2, 3, 4]
    assert done == ["digest a", "digest a", "digest b", "bill a"]
    day = timedelta(days=1).total_seconds()
    kept = [
        float(item[EXPIRES_ATTRIBUTE]) - float(item["in_progress_expires"]) / 1000 for item in table.scan("")
    ]
    assert [round((seconds - day) / 60) for seconds in kept] == [-15] * 3

    def again() -> dict[str, Any]:
        with pytest.raises(
            InProgressError, match="another invocation of digest is at work on the same event"
        ):
            answer("c")
        return {}

    run_once(again, name="digest", event="c", table=table, context=asked)
