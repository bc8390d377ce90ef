"""The edge of every command: options, which are checked before AWS is asked anything, errors, credentials."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
import typer
from botocore import exceptions as failed
from typer.exceptions import TyperException

from ml_janitor.aws.calls import failure_text, is_refusal, make_client
from ml_janitor.aws.client import (
    ALWAYS_ENABLED_REGIONS,
    DEFAULT_ATTEMPTS,
    GET_CALLER_IDENTITY,
    Caller,
    enabled_regions,
    read_caller,
)
from ml_janitor.aws.pace import Pace
from ml_janitor.config.settings import SETTINGS_FILE, DetectorRegistry, Settings, ignored_warnings
from ml_janitor.config.values import InvalidInputError, suggest_nearest
from ml_janitor.core.model import Signal, Unreadable, Value
from ml_janitor.core.text import quote_shell
from ml_janitor.engine.detector import Detector
from ml_janitor_cli.completion import VALUES, profile_names
from ml_janitor_cli.screen import make_console

# --- options --------------------------------------------------------------------------------------


def option(metavar: str, about: str, *names: str, **more: Any) -> Any:
    """
    Declare an option with a value that help calls *metavar*; *names* if the parameter's name differs.

    A shell completes it as `completion.VALUES` says, or with *complete* among *more*.
    """
    complete = more.pop("complete", VALUES.get(metavar))
    return typer.Option(
        *names, metavar=metavar, help=about, show_envvar=False, autocompletion=complete, **more
    )


def flag(name: str, about: str) -> Any:
    """Declare an option without a value."""
    return typer.Option(name, help=about)


def argument(metavar: str, about: str, **limits: Any) -> Any:
    """Declare a value by its place; a shell completes it as an option's."""
    complete = limits.pop("complete", VALUES.get(metavar))
    return typer.Argument(metavar=metavar, help=about, autocompletion=complete, **limits)


Overrides = Annotated[
    list[str] | None,
    option(
        "DETECTOR.FIELD=VALUE",
        "Set a tunable for this run, such as idle-endpoints.window=14d. Repeatable.",
        "--set",
    ),
]
SettingsFile = Annotated[
    Path | None, option("FILE", f"Settings that win over those of ./{SETTINGS_FILE}, key by key.")
]
Profile = Annotated[str | None, option("NAME", "The AWS profile to use.", complete=profile_names)]
ALL_REGIONS = "all"
Regions = Annotated[
    list[str] | None,
    option("REGION", f"Where to look; `{ALL_REGIONS}` is every region that is enabled. Repeatable."),
]
TABLE_VARIABLE, UNDO_KEY_VARIABLE = "JANITOR_TABLE", "JANITOR_UNDO_KEY"
TableName = Annotated[
    str | None, option("NAME", f"The ledger; else {TABLE_VARIABLE}.", "--table", envvar=TABLE_VARIABLE)
]
UndoKeyArn = Annotated[
    str | None,
    option(
        "ARN",
        f"The KMS key that signs undo records; else {UNDO_KEY_VARIABLE}.",
        "--undo-key",
        envvar=UNDO_KEY_VARIABLE,
    ),
]
Json = Annotated[bool, flag("--json", "Print one JSON document instead.")]
AsOf = Annotated[str | None, option("TIME", "Judge as of this time (ISO 8601); else JANITOR_NOW, else now.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A command's settings and session. *attempts* is how often a call is tried in all."""

    settings: Settings
    session: boto3.Session
    attempts: int
    now: datetime

    def regions(self, flags: Sequence[str] | None) -> tuple[str, ...]:
        """
        Return where to look: *flags*, else the settings' regions, else the session's.

        Raises CommandRefusedError.
        """
        return choose_regions(flags, self.settings, self.session)


INTERRUPTED_STATUS = 130
"""The exit status after Ctrl-C."""


class CommandRefusedError(TyperException):
    """The command cannot be run as it was given, or not to its end; the message is one line."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def make_setup(
    ctx: typer.Context,
    config: Path | None,
    overrides: Iterable[str] | None,
    *,
    profile: str | None,
    now: str | None = None,
) -> Setup:
    """Read the options and the environment. Raises CommandRefusedError."""
    settings = load_settings(config, overrides, ctx.obj)
    at, attempts = judging_time(now), read_attempts()
    return Setup(settings=settings, session=open_session(profile), attempts=attempts, now=at)


def load_settings(
    config: Path | None, overrides: Iterable[str] | None, registry: DetectorRegistry
) -> Settings:
    """Load the operator's settings: --set, then --config, then ./janitor.toml, then the defaults."""
    files = [path for path in [Path(SETTINGS_FILE)] if path.exists()]
    try:
        settings = Settings.load(
            files=[*files, *([config] if config else [])], overrides=overrides or (), registry=registry
        )
    except InvalidInputError as error:
        raise CommandRefusedError(str(error)) from error
    for warning in ignored_warnings(settings):
        typer.echo(f"janitor: warning: {warning}", err=True)
    return settings


def choose_detectors(names: Sequence[str] | None, settings: Settings) -> list[Detector[Any]]:
    """Return the named detectors, even if they are switched off; without names, all that are switched on."""
    known = [detector.name for detector in settings.registry]
    for name in names or ():
        if name not in known:
            hint = suggest_nearest(name, known) or "; janitor detectors lists them all"
            raise CommandRefusedError(f"no detector is called {name}{hint}")
    if not names:
        return settings.enabled()
    return [settings.detector(detector) for detector in settings.registry if detector.name in names]


def judging_time(flag: str | None) -> datetime:
    """Return the time to judge for: --now, else JANITOR_NOW, else the clock."""
    for name, text in (("--now", flag), ("JANITOR_NOW", os.environ.get("JANITOR_NOW"))):
        if text:
            return _time(name, text)
    return datetime.now(UTC).replace(microsecond=0)


def command_clock(flag: str | None) -> Callable[[], datetime]:
    """
    Return the clock that goes with `judging_time`: the real one, unless a time was given.

    A given time stands still, as in the functions of a sandbox: it is always the same night there.
    """
    if flag or os.environ.get("JANITOR_NOW"):
        fixed = judging_time(flag)
        return lambda: fixed
    return lambda: datetime.now(UTC)


def check_real_time(flag: str | None) -> None:
    """
    Refuse to act at another time than the real one: everything would be due, and idle, in a year.

    A sandbox has its own night, and an endpoint of its own.
    """
    if flag:
        raise CommandRefusedError("--now does not go with --act: what is done is done now")
    if os.environ.get("JANITOR_NOW") and not os.environ.get("AWS_ENDPOINT_URL"):
        raise CommandRefusedError("JANITOR_NOW is set, and this is not a sandbox: unset it to act")


def _time(name: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CommandRefusedError(
            f"{name}: expected a time such as 2026-10-06T03:00:00Z, got {text}"
        ) from error


def read_attempts() -> int:
    """Return how often a call is tried in all: AWS_MAX_ATTEMPTS, as botocore reads it."""
    text = os.environ.get("AWS_MAX_ATTEMPTS", "").strip()
    if not text:
        return DEFAULT_ATTEMPTS
    if not text.isdecimal() or not int(text):
        raise CommandRefusedError(f"AWS_MAX_ATTEMPTS: expected a number of tries from 1 on, got {text}")
    return int(text)


def call_pace() -> Pace | None:
    """Return how fast AWS may be called; None in the sandbox, where time stands still."""
    if os.environ.get("JANITOR_NOW"):
        return None
    return Pace(clock=time.time, sleep=sleep)


def sleep(seconds: float) -> None:
    """Spend so many *seconds*; tests replace this with a counter."""
    time.sleep(seconds)


def open_session(profile: str | None) -> boto3.Session:
    """Open the session of *profile*, else of whatever the environment says."""
    try:
        session = boto3.Session(profile_name=profile or None)
    except failed.ProfileNotFound as error:
        wanted = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or ""
        hint = suggest_nearest(wanted, _profiles())
        raise CommandRefusedError(f"no AWS profile is called {wanted}{hint}") from error
    except failed.BotoCoreError as error:
        raise CommandRefusedError(f"the AWS configuration cannot be used: {error}") from error
    _check_endpoints()
    return session


def _profiles() -> list[str]:
    return botocore.session.Session(profile="default").available_profiles


def _check_endpoints() -> None:
    """Refuse an invalid URL: botocore would raise a bare ValueError in the middle of a run."""
    for name, url in os.environ.items():
        if name.startswith("AWS_ENDPOINT_URL") and url:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.netloc:
                raise CommandRefusedError(f"{name}: expected a URL such as http://127.0.0.1:5000, got {url}")


def choose_regions(
    flags: Sequence[str] | None, settings: Settings, session: boto3.Session
) -> tuple[str, ...]:
    """
    Return where to look: --region, else the settings' regions, else the session's.

    A misspelt region is refused here, behind an endpoint of one's own too: AWS has no address that could say
    so, and a sandbox answers for any. Raises FailedError if the enabled regions cannot be read.
    """
    asked = flags or settings.janitor.regions or [session.region_name or ""]
    if ALL_REGIONS in asked:
        return read_enabled_regions(session)
    regions = tuple(dict.fromkeys(region.strip() for region in asked))
    if "" in regions:
        raise CommandRefusedError(
            f"no region: give --region, or set regions in {SETTINGS_FILE} or AWS_DEFAULT_REGION"
        )
    known = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("sagemaker", partition)
    }
    for region in regions:
        if region not in known:
            raise CommandRefusedError(
                f"AWS has no region {region} that this version knows{suggest_nearest(region, known)}"
            )
    return regions


def read_enabled_regions(session: boto3.Session) -> tuple[str, ...]:
    """Read the regions that the account has enabled, of those that have SageMaker. Raises FailedError."""
    home = session.region_name or ALWAYS_ENABLED_REGIONS["aws"]
    sagemaker = set(session.get_available_regions("sagemaker", session.get_partition_for_region(home)))
    with one_line_errors(f"--region {ALL_REGIONS}, which asks ec2:DescribeRegions"):
        enabled = enabled_regions(make_client(session, "ec2", home, read_attempts()))
    return tuple(region for region in enabled if region in sagemaker)


def check_outputs(*, json: bool, files: Mapping[str, Path | None]) -> None:
    """Refuse outputs that exclude each other, and files that could not be written after all the work."""
    if json and files.get("--json-file"):
        raise CommandRefusedError("--json and --json-file exclude each other")
    for flag, path in files.items():
        if path is None:
            continue
        place = path if path.exists() else path.parent
        if path.is_dir() or not os.access(place, os.W_OK):
            reason = errno.EISDIR if path.is_dir() else errno.EACCES if place.exists() else errno.ENOENT
            raise CommandRefusedError(f"{flag}: {path} cannot be written: {os.strerror(reason)}")


def replace_file(path: Path, contents: str) -> str | None:
    """Write *contents* to *path*, which stays as it was on failure; return why it failed, or None."""
    target = path.resolve()
    whole = target.is_file() or not target.exists()  # only a regular file can be replaced, not a pipe
    part = target.with_name(f".{target.name}.part") if whole else target
    try:
        part.write_text(contents, encoding="utf-8")
        if whole:
            part.replace(target)
    except OSError as error:
        if whole:
            part.unlink(missing_ok=True)
        return error.strerror or str(error)
    return None


# --- errors ---------------------------------------------------------------------------------------
# A failed AWS call, and Ctrl-C while AWS is being read, end a command with one line.

NO_TABLE_ADVICE = (
    "no table of that name is in this account and region: the deployment's output LedgerTable names the "
    "ledger, and --profile or AWS_DEFAULT_REGION leads to where it is"
)


class FailedError(CommandRefusedError):
    """The command failed; the message says why, and whether something was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=1)


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Say in one line which call failed. Raises FailedError."""
    try:
        yield
    except Exception as error:  # any other error is a fault of ours, and raised as it is
        words = failure_text(error)
        if words is None:
            raise
        if _no_table(error):
            raise FailedError(f"{what}: {NO_TABLE_ADVICE}") from error
        raise FailedError(f"{what}: {words}") from error


def _no_table(error: Exception) -> bool:
    """Return whether the ledger is missing: no other call has these names."""
    if not isinstance(error, failed.ClientError) or error.operation_name not in {
        "Query",
        "GetItem",
        "UpdateItem",
    }:
        return False
    return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")


@contextmanager
def end_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process although reads are in flight: reads leave nothing half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        if sys.stderr.isatty():
            make_console(sys.stderr).show_cursor(show=True)
        os.write(2, b"\njanitor: interrupted\n")
        os._exit(INTERRUPTED_STATUS)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- questions ------------------------------------------------------------------------------------
# Without an answer, the command is refused.

NO_ANSWER_MESSAGE = "nobody answered, so nothing was done; --yes goes on without asking"


def ask_text(question: str) -> str:
    """Return the text typed in answer to *question*. Raises CommandRefusedError."""
    return _answered(lambda: str(typer.prompt(question, default="", show_default=False)).strip())


def ask_choice(what: str, options: Sequence[str]) -> str:
    """
    Return the option whose number was typed.

    Raises CommandRefusedError, also where no terminal can be asked.
    """
    if not sys.stdin.isatty():
        raise CommandRefusedError(f"{what}; name one of them: {', '.join(options)}")
    typer.echo(f"{what}:", err=True)
    for number, option in enumerate(options, start=1):
        typer.echo(f"  {number}  {option}", err=True)
    answer = _answered(lambda: str(typer.prompt("Type its number", default="", show_default=False, err=True)))
    if not answer.isdecimal() or not 1 <= int(answer) <= len(options):
        raise CommandRefusedError(f"expected a number from 1 to {len(options)}, got {answer}")
    return options[int(answer) - 1]


def ask_yes(question: str) -> bool:
    """Return whether the answer to *question* was yes. Raises CommandRefusedError."""
    return _answered(lambda: typer.confirm(question, err=True))


def _answered[T](ask: Callable[[], T]) -> T:
    """Ask; the end of the input and Ctrl-C are not answers."""
    try:
        return ask()
    except typer.Abort:
        typer.echo(err=True)
        raise CommandRefusedError(NO_ANSWER_MESSAGE) from None


# --- credentials ----------------------------------------------------------------------------------
# An error names the next step where AWS does not accept them.

IDENTITY_ATTEMPTS = 5
"""Someone who mistyped an endpoint learns it in seconds; a service under load still gets several tries."""

NO_CREDENTIALS = (
    "there are no AWS credentials: sign in (aws sso login), or name a profile with --profile or AWS_PROFILE; "
    "to see a demo account instead: janitor sandbox -- janitor audit"
)

EXPIRED_CODES = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REJECTED_CODES = ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "OptInRequired")
"""Error codes for rejected credentials; a region that is not enabled gives them too."""

SSO_SETTINGS = {"sso_session", "sso_start_url"}


def identify_caller(session: boto3.Session, region: str, attempts: int) -> Signal[Caller]:
    """Identify the session's credentials in *region*, or return the next step if that is impossible."""
    try:
        if session.get_credentials() is None:
            return Unreadable(NO_CREDENTIALS)
        return Value(read_caller(session, region, min(attempts, IDENTITY_ATTEMPTS)), GET_CALLER_IDENTITY)
    except Exception as error:  # any other error is a fault of ours, and raised as it is
        if (words := failure_text(error)) is None:
            raise
        step = credentials_advice(error, session, region)
        return Unreadable(f"{step} ({words})" if step else words)


def require_caller(session: boto3.Session, region: str, attempts: int) -> Caller:
    """Identify the credentials, for a command that needs them. Raises FailedError."""
    match identify_caller(session, region, attempts):
        case Value(caller):
            return caller
        case other:
            raise FailedError(getattr(other, "error", "the account is unknown"))


def credentials_advice(error: Exception, session: boto3.Session, region: str) -> str | None:
    """Say what is wrong, and what a person does about it; None where AWS's own words have to do."""
    if isinstance(error, (failed.SSOError, failed.TokenRetrievalError)):
        return f"you are not signed in: aws sso login --profile {quote_shell(sso_profile(session))}"
    if isinstance(error, (failed.ConnectionError, failed.HTTPClientError)):
        return unreachable_advice(region)
    if is_refusal(error, EXPIRED_CODES):
        return expired_advice(session)
    if is_refusal(error, REJECTED_CODES):
        return rejected_advice(session, region)
    return None


def sso_profile(session: boto3.Session) -> str:
    """Return the profile to sign in with: the session's, or the one that it takes its credentials from."""
    profiles = session._session.full_config.get("profiles", {})  # noqa: SLF001 - boto3 has no other way
    name, chain = session.profile_name, list[str]()
    while name and name not in chain:
        chain.append(name)
        if SSO_SETTINGS & profiles.get(name, {}).keys():
            return name
        name = profiles.get(name, {}).get("source_profile", "")
    return session.profile_name


def unreachable_advice(region: str) -> str:
    """Say where nothing answers, and what to try."""
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            return f"nothing answers at {url}: start what should listen there, or unset {name}"
    return f"AWS in {region} cannot be reached: check the network, the VPN and HTTPS_PROXY"


def expired_advice(session: boto3.Session) -> str:
    """Say which credentials have expired, and how to get new ones."""
    found = session.get_credentials()
    if found is not None and found.method == "env":
        return "the credentials in the environment have expired: export new ones, or unset AWS_SESSION_TOKEN"
    profile = sso_profile(session)
    config = session._session.full_config.get("profiles", {})  # noqa: SLF001
    if SSO_SETTINGS & config.get(profile, {}).keys():
        return f"the credentials have expired: aws sso login --profile {quote_shell(profile)}"
    return f"the credentials of profile {profile} have expired: get new ones"


def rejected_advice(session: boto3.Session, region: str) -> str:
    """Say whether AWS does not know the credentials, or only *region* does not, because it is not enabled."""
    enabled = ALWAYS_ENABLED_REGIONS.get(session.get_partition_for_region(region), region)
    account = ""
    if enabled != region:
        try:
            account = read_caller(session, enabled, 1).account
        except Exception as error:  # any other error is a fault of ours, and raised as it is
            if failure_text(error) is None:
                raise
    if account:
        return (
            f"region {region} is not enabled in account {account}: enable it (AWS console, Account, "
            "AWS Regions), or leave it out of --region and of regions in janitor.toml"
        )
    return "AWS does not know these credentials: they were deleted or mistyped; sign in again"
