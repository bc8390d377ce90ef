"""
The container of a script-mode training job: directories here, and variables.

Script mode is that of sagemaker-training (ENVIRONMENT_VARIABLES.md of aws/sagemaker-training-toolkit): the
hyperparameters name a tarball and a program in it, and the container tells the program the rest by SM_*.
Unlike there, the program gets SIGTERM (sagemaker-training 5.1.4 does not pass it on: its issues 125, 173).
"""

import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

PROGRAM, TARBALL = "sagemaker_program", "sagemaker_submit_directory"
OPT_ML = "/opt/ml"
HOST = "algo-1"
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class JobFailedError(Exception):
    """A job's failure, with its FailureReason."""


def is_script(request: Mapping[str, Any]) -> bool:
    """Tell whether a CreateTrainingJob request is one in script mode."""
    return {PROGRAM, TARBALL} <= set(request.get("HyperParameters") or ())


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class Container:
    """
    The /opt/ml of one attempt of a job, under *root*, which is made; *job* is its request.

    *s3* is a client for all that is downloaded and uploaded. Methods raise JobFailedError.
    """

    def __init__(self, root: Path, job: Mapping[str, Any], s3: Any) -> None:
        self._job, self._s3 = job, s3
        self.opt = root / OPT_ML.lstrip("/")
        given = {key: decoded(value) for key, value in (job.get("HyperParameters") or {}).items()}
        self.program, self._tarball = str(given[PROGRAM]), str(given[TARBALL])
        self._hyperparameters = {
            key: self.mapped(value) for key, value in given.items() if not key.startswith("sagemaker_")
        }
        self.code = self.opt / "code"
        self.model = self.opt / "model"
        self.checkpoints: Path | None = None
        self._checkpoints_at = ""
        self._synced: dict[str, tuple[int, int]] = {}
        if config := job.get("CheckpointConfig"):
            self.checkpoints = Path(self.mapped(config.get("LocalPath") or f"{OPT_ML}/checkpoints"))
            self._checkpoints_at = config["S3Uri"].rstrip("/")

    def mapped(self, value: Any) -> Any:
        """Return a path below /opt/ml as it is on this machine; anything else as it is."""
        inside = isinstance(value, str) and f"{value}/".startswith(f"{OPT_ML}/")
        return f"{self.opt}{value.removeprefix(OPT_ML)}" if inside else value

    # --- before ----------------------------------------------------------------------------------

    def fill(self) -> None:
        """Make the directories, and download code, channels and checkpoints."""
        for folder in (self.code, self.model, self.opt / "output" / "data", self.opt / "input" / "config"):
            folder.mkdir(parents=True)
        self._unpack()
        for channel in self._job.get("InputDataConfig") or ():
            self._download_channel(channel)
        configs = {
            "hyperparameters": self._job.get("HyperParameters") or {},
            "resourceconfig": {"current_host": HOST, "hosts": [HOST], "network_interface_name": "lo"},
            "inputdataconfig": {
                channel["ChannelName"]: {"TrainingInputMode": "File"}
                for channel in self._job.get("InputDataConfig") or ()
            },
        }
        for name, content in configs.items():
            (self.opt / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
        if self.checkpoints is not None:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._download(self._checkpoints_at, self.checkpoints)
            self._synced = self._files()

    def _unpack(self) -> None:
        bucket, key = split(self._tarball)
        try:
            packed = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(self.code, filter="data")
        except (ClientError, tarfile.TarError) as error:
            raise JobFailedError(f"ClientError: {self._tarball} cannot be unpacked: {error}") from error
        if not (self.code / self.program).is_file():
            raise JobFailedError(f"AlgorithmError: there is no {self.program} in {self._tarball}")

    def _download_channel(self, channel: Mapping[str, Any]) -> None:
        name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise JobFailedError(f"ClientError: channel {name}: the sandbox downloads S3Prefix only")
        folder = self.opt / "input" / "data" / name
        folder.mkdir(parents=True)
        if not self._download(source["S3Uri"], folder):
            missing = f"no S3 objects found under {source['S3Uri']}"
            raise JobFailedError(f"ClientError: Data download failed: {missing}")

    def _download(self, uri: str, folder: Path) -> int:
        """Download every object below a prefix, or the object that it names; return how many there were."""
        bucket, prefix = split(uri)
        count = 0
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for item in (item for page in pages for item in page.get("Contents", ())):
                inside = item["Key"].removeprefix(prefix).lstrip("/") or Path(item["Key"]).name
                path = (folder / inside).resolve()
                if item["Key"].endswith("/") or not path.is_relative_to(folder.resolve()):
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
                count += 1
        except ClientError as error:
            raise JobFailedError(f"ClientError: Data download failed: {uri}: {error}") from error
        return count

    # --- while it runs ---------------------------------------------------------------------------

    def command(self) -> list[str]:
        """Return the program with its hyperparameters as arguments: Python, or a shell for no .py file."""
        flags = [word for key, value in self._arguments() for word in (f"--{key}", value)]
        interpreter = sys.executable if self.program.endswith(".py") else "/bin/sh"
        return [interpreter, self.program, *flags]

    def _arguments(self) -> list[tuple[str, str]]:
        return [
            (key, value if isinstance(value, str) else json.dumps(value))
            for key, value in sorted(self._hyperparameters.items())
        ]

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the program's variables: the job's own, and of this machine only what finds programs."""
        channels = [channel["ChannelName"] for channel in self._job.get("InputDataConfig") or ()]
        data = self.opt / "input" / "data"
        sm: dict[str, Any] = {
            "MODEL_DIR": str(self.model),
            "MODULE_DIR": self._tarball,
            "MODULE_NAME": self.program.removesuffix(".py"),
            "USER_ENTRY_POINT": self.program,
            "INPUT_DIR": str(self.opt / "input"),
            "INPUT_CONFIG_DIR": str(self.opt / "input" / "config"),
            "OUTPUT_DIR": str(self.opt / "output"),
            "OUTPUT_DATA_DIR": str(self.opt / "output" / "data"),
            "CHANNELS": channels,
            "HPS": self._hyperparameters,
            "USER_ARGS": self.command()[2:],
            "CURRENT_HOST": HOST,
            "HOSTS": [HOST],
            "NETWORK_INTERFACE_NAME": "lo",
            "NUM_CPUS": os.cpu_count() or 1,
            "NUM_GPUS": 0,
            "CURRENT_INSTANCE_TYPE": self._job["ResourceConfig"]["InstanceType"],
        }
        sm |= {f"CHANNEL_{name.upper()}": str(data / name) for name in channels}
        sm |= {f"HP_{key.upper()}": value for key, value in self._hyperparameters.items()}
        return (
            {name: os.environ[name] for name in INHERITED if name in os.environ}
            | {
                f"SM_{key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in sm.items()
            }
            | {
                "PYTHONPATH": str(self.code),
                "PYTHONUNBUFFERED": "1",
                "TRAINING_JOB_NAME": self._job["TrainingJobName"],
            }
            | dict(more)
            | {key: self.mapped(value) for key, value in (self._job.get("Environment") or {}).items()}
        )

    def sync(self) -> None:
        """
        Bring the checkpoints in S3 up to those here, file by file; what was deleted here is deleted there.

        Developer guide, "Checkpoints in Amazon SageMaker AI": "If a checkpoint is deleted in the SageMaker
        container, it will also be deleted in the S3 folder."
        """
        if self.checkpoints is None:
            return
        try:
            self._sync(*split(self._checkpoints_at))
        except ClientError as error:
            raise JobFailedError(f"ClientError: Checkpoint upload failed: {error}") from error

    def _sync(self, bucket: str, prefix: str) -> None:
        assert self.checkpoints is not None  # noqa: S101 - for the type checker
        now = self._files()
        for name in [name for name, state in now.items() if self._synced.get(name) != state]:
            try:
                content = (self.checkpoints / name).read_bytes()
            except OSError:  # gone, or renamed, since it was listed
                continue
            self._s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}".lstrip("/"), Body=content)
            self._synced[name] = now[name]
        for name in [name for name in self._synced if name not in now]:
            self._s3.delete_object(Bucket=bucket, Key=f"{prefix}/{name}".lstrip("/"))
            del self._synced[name]

    def _files(self) -> dict[str, tuple[int, int]]:
        """Return size and time of every file below the checkpoints."""
        found: dict[str, tuple[int, int]] = {}
        assert self.checkpoints is not None  # noqa: S101 - for the type checker
        for path in sorted(self.checkpoints.rglob("*")):
            try:
                if path.is_file():
                    state = path.stat()
                    found[str(path.relative_to(self.checkpoints))] = state.st_size, state.st_mtime_ns
            except OSError:
                continue
        return found

    # --- after -----------------------------------------------------------------------------------

    def upload(self) -> str | None:
        """Upload the model as model.tar.gz below the job's output; return its URI, or None."""
        if not any(self.model.iterdir()):
            return None
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in sorted(self.model.iterdir()):
                archive.add(path, arcname=path.name)
        output = self._job["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        uri = f"{output}/{self._job['TrainingJobName']}/output/model.tar.gz"
        bucket, key = split(uri)
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=packed.getvalue())
        except ClientError as error:
            raise JobFailedError(f"ClientError: Artifact upload failed: {error}") from error
        return uri

    def failure(self) -> str:
        """Return the reason that the program wrote for its failure; empty if there is none."""
        try:
            return (self.opt / "output" / "failure").read_text(errors="replace")[:1024]
        except OSError:
            return ""

    def remove(self) -> None:
        """Give its disk back, as a container that has ended does."""
        shutil.rmtree(self.opt, ignore_errors=True)


def decoded(value: str) -> Any:
    """Decode a hyperparameter: JSON where it is, else the text itself (sagemaker-training's mapping)."""
    try:
        return json.loads(value)
    except ValueError:
        return value
