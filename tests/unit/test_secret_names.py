"""What is in a secret is refused where its name belongs, and stands in no message, traceback or template."""

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml_janitor.config.sections import JanitorSection
from ml_janitor.config.settings import Settings
from ml_janitor.config.values import InvalidInputError
from ml_janitor_cli.main import main
from tables import cases

TELLING = "Zq7"
"""A part of each secret below, which is in no message of its own."""

SECRETS = (
    f"xoxb-1234-5678-{TELLING}",
    f" xoxb-1234-5678-{TELLING}",
    f"XOXB-1234-5678-{TELLING}",
    f"xoxe.xoxp-1-{TELLING}",
    f"xapp-1-A012-{TELLING}",
    f"token=xoxp-1234-{TELLING}",
    f"https://hooks.slack.com/services/T0/B0/{TELLING}",
    f"hooks.slack.com/services/T0/B0/{TELLING}",
    f'{{"token": "xoxb-{TELLING}"}}',
)
SIGNING = "8f742231b10e8888abcd99bad0c085a5"

KEYS = ("slack_secret", "slack_signing_secret")


def everything(error: BaseException) -> str:
    """All that a log or a terminal shows of *error*."""
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("secret", [*SECRETS, SIGNING, SIGNING.upper()])
def test_a_secret_in_the_place_of_its_name_is_refused_and_not_repeated(key: str, secret: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Settings.parse({"janitor": {key: secret}})

    assert str(refused.value) == (
        f'janitor.{key}: expected the name of a secret in Secrets Manager, such as "ml-janitor/slack"; '
        "what it was set to is not repeated here, in case it is the secret"
    )
    assert TELLING not in everything(refused.value)
    assert SIGNING not in everything(refused.value).lower()


@pytest.mark.parametrize("value", [[f"a-{TELLING}"], {"token": f"a-{TELLING}"}])
def test_nor_is_one_of_another_type(value: object) -> None:
    with pytest.raises(InvalidInputError, match="expected a text in quotes; what") as refused:
        Settings.parse({"janitor": {"slack_secret": value}})

    assert TELLING not in everything(refused.value)


def test_pydantics_own_error_does_not_repeat_it() -> None:
    with pytest.raises(ValidationError) as refused:
        JanitorSection(slack_secret=SECRETS[0])

    assert TELLING not in everything(refused.value)


def test_a_token_in_another_place_is_not_repeated_either(tmp_path: Path) -> None:
    lines = {
        f'slack_channel = "{SECRETS[0]}"': 'expected a channel such as "#ml-costs", got (not shown',
        f'slack_group = "{SECRETS[0]}"': 'such as "S0123456789", got (not shown: it looks like a secret)',
        f'regions = ["{SECRETS[6]}"]': "got (not shown",
        f'keep_tags = "{SIGNING}"': "got (not shown",
        f"slack_secret = {SECRETS[0]}": "is not valid TOML",
    }
    for line, said in lines.items():
        (tmp_path / "janitor.toml").write_text(f"[janitor]\n{line}\n")
        with pytest.raises(InvalidInputError) as refused:
            Settings.load(files=[tmp_path / "janitor.toml"])
        assert said in str(refused.value)
        assert TELLING not in everything(refused.value)
        assert SIGNING not in everything(refused.value)


@pytest.mark.parametrize("text", [f"janitor.slack_secret={SECRETS[0]}", SECRETS[0], f"x={SECRETS[0]}"])
def test_the_command_line_does_not_repeat_it(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    status = main(["detectors", "--set", text])

    said = capfd.readouterr()
    assert (status, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    assert TELLING not in said.err


@cases("name", "", "ml-janitor/slack", "team+ml/slack_token@eu.west=1", "slack", "a" * 40, "deadbeef-slack")
def test_a_name_is_taken(name: str) -> None:
    assert Settings.parse({"janitor": {"slack_secret": name}}).janitor.slack_secret == name


@cases("name", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:slack-a1b2c3", "two words", "x" * 513)
def test_what_secrets_manager_would_not_take_as_a_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="expected the name of a secret"):
        Settings.parse({"janitor": {"slack_signing_secret": name}})
