"""The sandbox runs script-mode training jobs for real: their directories, limits, interruptions and bill."""

import io
import json
import tarfile
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import NOW, REGION
from janitor_kit import cli
from ml_janitor_sandbox.control import Control, SandboxError
from ml_janitor_sandbox.job_runner import JobRunner
from ml_janitor_sandbox.server import Sandbox
from narrowing import not_none
from sagemaker_requests import rented, training_request
from tables import cases


class Trainer:
    """A sandbox whose clock moves only when it is set, and which runs jobs; and how to create one."""

    def __init__(self, box: Control, runner: JobRunner) -> None:
        self.box, self.runner = box, runner
        session = boto3.Session(region_name=REGION)
        self.s3, self.sagemaker = session.client("s3"), session.client("sagemaker")
        self.logs = session.client("logs")
        self.s3.create_bucket(Bucket="models")

    def train(self, script: str, *, spot: bool = False, **more: Any) -> str:
        """Create a job that runs *script*, and return its ARN."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo("train.py")
            member.size = len(script.encode())
            archive.addfile(member, io.BytesIO(script.encode()))
        self.s3.put_object(Bucket="models", Key="code/sourcedir.tar.gz", Body=packed.getvalue())
        request = training_request("job", rented("ml.m5.xlarge"), out="s3://models/out", seconds=7200) | {
            "HyperParameters": {
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": '"s3://models/code/sourcedir.tar.gz"',
                **more.pop("hyperparameters", {}),
            }
        }
        if spot:
            request["EnableManagedSpotTraining"] = True
            request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 36000
            request["CheckpointConfig"] = {"S3Uri": "s3://models/checkpoints"}
        arn: str = self.sagemaker.create_training_job(**request | more)["TrainingJobArn"]
        return arn

    def job(self) -> dict[str, Any]:
        return dict(self.sagemaker.describe_training_job(TrainingJobName="job"))

    def model(self, arn: str) -> dict[str, Any]:
        """What a job of the kit's example has learnt."""
        name = arn.rpartition("/")[2]
        body = self.s3.get_object(Bucket="models", Key=f"out/{name}/output/model.tar.gz")["Body"]
        with tarfile.open(fileobj=io.BytesIO(body.read())) as archive:
            member = not_none(archive.extractfile("model.json"))
            return dict(json.loads(member.read()))

    def later(self, **after: float) -> None:
        self.box.set_clock(self.box.clock() + timedelta(**after))


@pytest.fixture
def trainer(paced: Control, tmp_path: Path) -> Iterator[Trainer]:
    with Sandbox(run_jobs=tmp_path, speed=0) as running:
        yield Trainer(paced, not_none(running.runner))


SHOW = """
import json, os, pathlib, sys
print(json.dumps(dict(os.environ, ARGV=sys.argv[1:], CWD=os.getcwd(), LEAK=os.environ.get("JANITOR_SECRET"))))
data = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"])
print("data", sorted((str(one.relative_to(data)), one.read_text()) for one in data.rglob("*.csv")))
pathlib.Path(os.environ["SM_MODEL_DIR"], "weights").write_text("0.5")
"""


def test_a_job_finds_what_a_container_has(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JANITOR_SECRET", "mine")
    for key in ("data/a.csv", "data/deep/b.csv"):
        trainer.s3.put_object(Bucket="models", Key=key, Body=key.encode())
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://models/data"}

    arn = trainer.train(
        SHOW,
        hyperparameters={"epochs": "3", "name": '"a b"'},
        Environment={"WHERE": "/opt/ml/model", "PLAIN": "/opt/mlx"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
    )
    trainer.runner.await_status(arn, "Completed")

    [stream] = trainer.logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert stream["logStreamName"].startswith("job/algo-1-")
    events = trainer.logs.get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"]
    )["events"]
    seen = json.loads(events[0]["message"])
    assert seen["ARGV"] == ["--epochs", "3", "--name", "a b"]
    assert seen["SM_HPS"] == '{"epochs": 3, "name": "a b"}'
    assert (seen["SM_HP_EPOCHS"], seen["SM_CHANNELS"]) == ("3", '["train"]')
    assert seen["WHERE"] == seen["SM_MODEL_DIR"] != "/opt/ml/model"
    assert seen["PLAIN"] == "/opt/mlx"
    assert seen["CWD"].endswith("/opt/ml/code")
    assert seen["LEAK"] is None
    assert events[1]["message"] == f"data {[('a.csv', 'data/a.csv'), ('deep/b.csv', 'data/deep/b.csv')]}"
    job = trainer.job()
    assert [one["Status"] for one in job["SecondaryStatusTransitions"]] == [
        *("Starting", "Downloading", "Training", "Uploading", "Completed")
    ]
    assert job["TrainingJobStatus"] == "Completed"
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == "s3://models/out/job/output/model.tar.gz"
    model = trainer.s3.get_object(Bucket="models", Key="out/job/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(model)) as archive:
        assert archive.getnames() == ["weights"]


COUNT = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["CHECKPOINT_DIR"])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
done = len(list(folder.glob("step-*")))
pathlib.Path(os.environ["SM_MODEL_DIR"], "half").write_text("")
print("resumed after", done, flush=True)
(folder / "temporary").write_text("")
while not stopped and done < 2:
    time.sleep(0.01)
(folder / "temporary").unlink()
if stopped:
    (folder / f"step-{done}").write_text("saved")
    sys.exit(143)
"""


def test_spot_is_interrupted_resumes_and_bills_only_what_ran(trainer: Trainer) -> None:
    arn = trainer.train(COUNT, spot=True, Environment={"CHECKPOINT_DIR": "/opt/ml/checkpoints"})
    for attempt in range(2):
        trainer.runner.await_log(arn, f"resumed after {attempt}")
        trainer.later(minutes=30)
        trainer.box.interrupt(arn)
        trainer.runner.await_status(arn, "Interrupted", attempt + 1)
        trainer.later(hours=1)
    trainer.runner.await_status(arn, "Completed")

    job = trainer.job()
    begun = ["Starting", "Downloading", "Training"]
    interrupted = [*begun, "Interrupted"]
    listed = trainer.s3.list_objects_v2(Bucket="models", Prefix="checkpoints")["Contents"]
    seen: list[str] = [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert seen == [*interrupted, *interrupted, *begun, "Uploading", "Completed"]
    assert [one["Key"] for one in listed] == ["checkpoints/step-0", "checkpoints/step-1"]
    assert (job["TrainingTimeInSeconds"], job["BillableTimeInSeconds"]) == (3600, 1080)
    assert job["TrainingEndTime"] - job["TrainingStartTime"] == timedelta(hours=3)
    used = [one for one in trainer.box.charges() if "TrSpt:ml.m5.xlarge" in one["usage_type"]]
    hours = [datetime.fromisoformat(one["end"]) - datetime.fromisoformat(one["start"]) for one in used]
    assert hours == [timedelta(minutes=30), timedelta(minutes=30), timedelta()]


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("will not", flush=True))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
while True:
    time.sleep(0.01)
"""


def test_a_limit_ends_a_job_with_all_that_it_started(trainer: Trainer) -> None:
    arn = trainer.train(STUBBORN)
    trainer.runner.await_log(arn, "child")
    trainer.later(seconds=7199)
    assert trainer.job()["SecondaryStatus"] == "Training"

    trainer.later(seconds=1)
    trainer.runner.await_log(arn, "will not")
    trainer.later(seconds=119)
    assert trainer.job()["SecondaryStatus"] == "Training"
    trainer.later(seconds=1)
    trainer.runner.await_status(arn, "MaxRuntimeExceeded")

    job = trainer.job()
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] == 7320
    pid = trainer.runner.lines(arn)[0].split()[1]
    assert not running(int(pid))


def running(pid: int) -> bool:
    """Whether a process lives; one that is over and that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_spot_waits_no_longer_than_it_may(trainer: Trainer) -> None:
    arn = trainer.train(COUNT, spot=True, Environment={"CHECKPOINT_DIR": "/opt/ml/checkpoints"})
    trainer.runner.await_log(arn, "resumed")
    trainer.box.interrupt(arn)
    trainer.runner.await_status(arn, "Interrupted")
    with pytest.raises(SandboxError, match="no spot job"):
        trainer.box.interrupt(arn)

    trainer.box.set_durations({"training.capacity": 10**9})
    trainer.box.set_clock(NOW + timedelta(hours=10))
    trainer.runner.await_status(arn, "MaxWaitTimeExceeded")

    assert trainer.job()["TrainingJobStatus"] == "Stopped"


FAILS = """
import os, pathlib, sys
pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("no such column: age")
sys.exit(3)
"""


def test_a_script_that_fails_says_why(trainer: Trainer) -> None:
    arn = trainer.train(FAILS)
    trainer.runner.await_status(arn, "Failed")

    job = trainer.job()
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == ("AlgorithmError: ExecuteUserScriptError: ExitCode 3. no such column: age")


def test_what_cannot_be_downloaded_fails_a_job(trainer: Trainer) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://models/nothing"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}

    trainer.runner.await_status(trainer.train(SHOW, InputDataConfig=[channel]), "Failed")

    assert "no S3 objects found under s3://models/nothing" in trainer.job()["FailureReason"]


SAVES = """
import os, pathlib, signal, sys, time
def save(*_):
    pathlib.Path(os.environ["SM_MODEL_DIR"], "half").write_text("so far")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""


def test_a_stopped_job_keeps_its_model(trainer: Trainer) -> None:
    arn = trainer.train(SAVES)
    trainer.runner.await_log(arn, "ready")
    with pytest.raises(SandboxError, match="no spot job"):
        trainer.box.interrupt(arn)

    trainer.sagemaker.stop_training_job(TrainingJobName="job")
    trainer.runner.await_status(arn, "Stopped")

    job = trainer.job()
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["ModelArtifacts"]["S3ModelArtifacts"].startswith("s3://models/out/")


def test_a_reset_ends_what_runs(trainer: Trainer) -> None:
    arn = trainer.train(STUBBORN)
    trainer.runner.await_log(arn, "child")
    pid = int(trainer.runner.lines(arn)[0].split()[1])

    trainer.box.reset()
    trainer.runner.await_end(arn)

    assert not running(pid)


def test_a_job_on_two_instances_is_refused_and_not_there(trainer: Trainer) -> None:
    two = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}

    with pytest.raises(ClientError, match="one instance"):
        trainer.train(SHOW, ResourceConfig=two)

    assert trainer.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_the_clock_ticks_while_a_job_lives(paced: Control, tmp_path: Path) -> None:
    with Sandbox(run_jobs=tmp_path, speed=3600) as running:
        trainer = Trainer(paced, not_none(running.runner))
        arn = trainer.train("import time; time.sleep(0.3)")
        trainer.runner.await_status(arn, "Completed")

        assert trainer.job()["TrainingTimeInSeconds"] >= 900
        assert trainer.job()["TrainingEndTime"] <= trainer.box.clock()


def test_nothing_runs_unless_asked(paced: Control, tmp_path: Path) -> None:
    with Sandbox() as other:
        assert other.runner is None
        made = tmp_path / "made"
        trainer = Trainer(paced, None)  # type: ignore[arg-type]  # no job of it runs

        arn = trainer.train(f"open({str(made)!r}, 'w')")

        with pytest.raises(SandboxError, match="--run-jobs"):
            paced.interrupt(arn)
        assert trainer.job()["SecondaryStatus"] == "Training"
        assert not made.exists()


@cases(
    "headers",
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
)
def test_only_those_who_name_this_machine_may_run_programs(trainer: Trainer, headers: dict[str, str]) -> None:
    request = urllib.request.Request(trainer.box.url + "/sandbox/clock", headers=headers)  # noqa: S310

    with pytest.raises(HTTPError, match="403"):
        urllib.request.urlopen(request)  # noqa: S310 - loopback


EXAMPLE = Path(__file__).parents[2] / "kit" / "examples" / "churn"


def launched(folder: Path, name: str, shown: pytest.CaptureFixture[str], *flags: str) -> str:
    """The ARN of the kit's example, launched under this name by `janitor-kit launch`."""
    text = (EXAMPLE / "job.toml").read_text()
    for before, after in {
        'name = "churn"': f'name = "{name}"',
        '"."': f'"{EXAMPLE}"',
        '"../../src': f'"{EXAMPLE}/../../src',
    }.items():
        assert before in text
        text = text.replace(before, after)
    (folder / f"{name}.toml").write_text(text)
    assert cli.main(["launch", str(folder / f"{name}.toml"), "--set", "epochs=6", *flags]) == 0
    return shown.readouterr().out.split()[-1]


def test_a_resumed_run_is_equal(trainer: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n % 7 - 3},{n % 5 - 2},{n % 2}\n" for n in range(40))
    trainer.s3.put_object(Bucket="models", Key="data/examples.csv", Body=rows.encode())

    calm = launched(tmp_path, "calm", capsys, "--set", "pause=0", "--on-demand")
    trainer.runner.await_status(calm, "Completed")
    spot = launched(tmp_path, "spot", capsys, "--set", "pause=0.01")
    for times in (1, 2):
        trainer.runner.await_log(spot, "epoch")
        trainer.box.interrupt(spot)
        trainer.runner.await_status(spot, "Interrupted", times)
        trainer.later(hours=1)
    trainer.runner.await_status(spot, "Completed")

    models = [trainer.model(arn) for arn in (calm, spot)]
    assert models[0] == models[1]
    assert len(models[0]["losses"]) == 6
    assert trainer.runner.lines(spot)[0].startswith("begins at step ")
    assert trainer.runner.lines(spot)[0] != "begins at step 0"
    tags = trainer.sagemaker.list_tags(ResourceArn=spot)["Tags"]
    assert {"Key": "owner", "Value": "ana@example.com"} in tags
