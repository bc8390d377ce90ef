"""The message that Slack would get, as a terminal and a pipe show it."""

from __future__ import annotations

import io
from dataclasses import replace

from ml_janitor.config.sections import Routes
from ml_janitor.core.results import Report
from ml_janitor.report.mrkdwn import Message, button_row, make_button, section_block
from ml_janitor_cli.audit import draw_message, draw_mrkdwn, draw_preview
from ml_janitor_cli.screen import make_console, print_blocks
from reports import ACCOUNT, NOW, finding, full, result, standing, sweep


def drawn(report: Report) -> str:
    stream = io.StringIO()
    print_blocks(make_console(stream), draw_preview(report, keep_tag="janitor:keep"))
    return stream.getvalue()


def test_the_dearest_sweeps_message_stands_there_and_the_others_are_named() -> None:
    said = drawn(full())
    assert said.startswith(
        "What Slack would get\n  │ $12,925 so far, $48.96 more every hour: 1 new hung training job\n  │\n"
    )
    assert "\n  │ Owned by nlp-research, since 2026-09-25 (10 days), proven.\n" in said
    assert "\n  in its thread: By owner: nlp-research\n" in said
    assert "and 2 more messages of this kind:\n  $8,245 a month: 4 new idle endpoints" in said


def test_each_channel_stands_beside_what_is_routed_there() -> None:
    routes = Routes.of({f"account:{ACCOUNT}": "#prod"}, main="#ml-costs")
    stream = io.StringIO()
    print_blocks(make_console(stream), draw_preview(full(), routes=routes))
    said = stream.getvalue()
    assert said.startswith("What Slack would get, in #prod\n  \u2502 $12,925 so far")
    assert "and 2 more messages of this kind:\n  in #prod: $8,245 a month: 4 new idle endpoints" in said


def test_nothing_found_is_nothing_drawn() -> None:
    assert list(draw_preview(replace(full(), sweeps=(sweep("idle-endpoints"),)))) == []


def test_a_pipe_gets_no_markup_no_escape_codes_and_no_wide_lines() -> None:
    hostile = result(
        "idle-endpoints",
        "a`<!channel>&*b*\x1b[31m",
        finding("<@U1> & [bold]x[/bold] :tada:", standing("7.2")),
        owner="_x_",
    )
    said = drawn(Report(time=NOW, account=ACCOUNT, sweeps=(sweep("idle-endpoints", hostile),)))
    assert r"a'<!channel>&*b*\x1b[31m  $5,256 a month" in said
    assert "<@U1> & [bold]x[/bold]" in said
    assert "\x1b" not in said
    assert "&lt;" not in said
    assert max(map(len, said.splitlines())) <= 100


def test_buttons_are_drawn() -> None:
    stream = io.StringIO()
    row = button_row([make_button("Keep", "a", "v"), make_button("[bold]Do it now", "b", "v")])
    print_blocks(
        make_console(stream), [draw_message(Message(text="text", blocks=(section_block("said"), row)))]
    )
    assert stream.getvalue() == "\u2502 said\n\u2502\n\u2502 [ Keep ]  [ [bold]Do it now ]\n"


def test_marked_up_text_is_styled() -> None:
    line = draw_mrkdwn("`name`  *$5* of <@U1>, &lt;x&gt;")
    assert line.plain == "name  $5 of @U1, <x>"
    assert [(line.plain[span.start : span.end], span.style) for span in line.spans] == [
        ("name", "cyan"),
        ("$5", "bold"),
        ("@U1", "blue"),
    ]
