"""
A runner of script-mode training jobs for real, as processes of this machine: `janitor sandbox --run-jobs`.

While a job lives, the sandbox's clock ticks, *speed* of its seconds in one real second; with speed 0 it
stands still until it is set. That clock decides everything: the limits of a job, the 120 seconds from SIGTERM
to SIGKILL, when spot capacity is back, and what is billed. It runs what its caller uploads, so the sandbox
listens on 127.0.0.1 alone, and only if asked to.
"""

import datetime as dt
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

import boto3

from ml_janitor_sandbox.billing.meters import SPOT
from ml_janitor_sandbox.iam.principals import ROOT_KEY
from ml_janitor_sandbox.job_container import HOST, Container, JobFailedError, is_script
from moto_corrections import clock, logs, state
from moto_corrections.patches import Call, rejected
from moto_corrections.sagemaker import jobs, progress
from moto_corrections.sagemaker.store import Resource, resources

GROUP = "/aws/sagemaker/TrainingJobs"
POLL = 0.05
"""Real seconds between two looks at a process, its checkpoints and the clock."""
PATIENCE = 60.0


class Ending(Enum):
    """A reason to end a process before it is done, with the SecondaryStatus that it leaves."""

    INTERRUPTED = "Interrupted"
    STOPPED = "Stopped"
    RUNTIME = "MaxRuntimeExceeded"
    WAIT = "MaxWaitTimeExceeded"
    GONE = "Gone"
    """The sandbox was reset or ends: nothing is written about it."""


class JobRunner:
    """A runner of jobs in folders under *root*, with the sandbox at *url* as their AWS."""

    def __init__(self, root: Path, url: str, *, speed: float = 1.0) -> None:
        if not 0 <= speed < float("inf"):
            raise ValueError(f"the speed is {speed}: sandbox seconds in a second, not negative")
        self.root, self.speed, self.url = root, speed, url
        session = boto3.Session(ROOT_KEY, "sandbox", region_name="us-east-1")
        self.s3: Any = session.client("s3", endpoint_url=url)
        self.closing = Event()
        self._runs: dict[str, Run] = {}
        jobs.runner = self
        if speed:
            Thread(target=self._tick, daemon=True, name="sandbox-clock").start()

    def close(self) -> None:
        """End every process, and return when all are over."""
        if jobs.runner is self:
            jobs.runner = None
        self.closing.set()
        for run in list(self._runs.values()):
            run.wake.set()
            run.thread.join(PATIENCE)

    def takes(self, request: Mapping[str, Any]) -> bool:
        """Tell whether a CreateTrainingJob request is one in script mode, which runs on one instance here."""
        if not is_script(request):
            return False
        resources = request.get("ResourceConfig") or {}
        if not resources.get("InstanceType") or resources.get("InstanceCount") != 1:
            raise rejected("The sandbox runs training jobs on one instance of a given type.")
        return True

    def start(self, call: Call, job: Resource) -> None:
        run = self._runs[job.arn] = Run(self, call, job)
        run.thread.start()

    def stop(self, job: Resource) -> bool:
        """Have a job's process end as StopTrainingJob does; False if none runs here."""
        return self._end(job.arn, Ending.STOPPED)

    def interrupt(self, arn: str) -> None:
        """Take a spot job's instance away. Raises ValueError if none of that ARN runs on spot."""
        run = self._runs.get(arn)
        waits = run is not None and run.seen()[-1] == Ending.INTERRUPTED.value
        if run is None or waits or not run.spot or not self._end(arn, Ending.INTERRUPTED):
            raise ValueError(f"no spot job {arn} runs here")

    def _end(self, arn: str, ending: Ending) -> bool:
        run = self._runs.get(arn)
        if run is None or not run.thread.is_alive():
            return False
        run.asked = ending
        run.wake.set()
        return True

    def await_log(self, arn: str, text: str) -> None:
        """Return when a job has logged a line with *text* in its current attempt; TimeoutError."""
        run = self._runs[arn]
        run.wait_until(lambda: any(text in line for line in run.lines), f"{arn} logged no {text!r}")

    def await_status(self, arn: str, secondary: str, times: int = 1) -> None:
        """Return when a job has had this SecondaryStatus so many times; TimeoutError."""
        run = self._runs[arn]
        run.wait_until(lambda: run.seen().count(secondary) >= times, f"{arn} became no {secondary}")

    def await_end(self, arn: str) -> None:
        """Return when nothing of a job runs any more; TimeoutError."""
        self._runs[arn].thread.join(PATIENCE)
        if self._runs[arn].thread.is_alive():
            raise TimeoutError(f"{arn} still runs")

    def lines(self, arn: str) -> list[str]:
        """Return the lines that a job has logged in its current attempt."""
        return list(self._runs[arn].lines)

    def _tick(self) -> None:
        """Move the clock whenever a job lives."""
        then = time.monotonic()
        while not self.closing.wait(POLL):
            now = time.monotonic()
            if any(run.thread.is_alive() for run in list(self._runs.values())):
                with state.LOCK:
                    clock.set_now(clock.now() + dt.timedelta(seconds=(now - then) * self.speed))
            then = now


class Run:
    """One job: attempts until one of them is not interrupted."""

    def __init__(self, runner: JobRunner, call: Call, job: Resource) -> None:
        self._runner, self._call, self._job = runner, call, job
        self.asked: Ending | None = None
        self.wake = Event()
        self.changed = Condition()
        self.lines: list[str] = []
        self.spot = bool(job.members.get("EnableManagedSpotTraining"))
        self._created = clock.now()
        self._billed: list[tuple[dt.datetime, dt.datetime]] = []
        self._limits: dict[str, int] = job.members["StoppingCondition"]
        self.thread = Thread(target=self._live, daemon=True, name=job.name)
        self._become("Starting")

    def wait_until(self, told: Callable[[], bool], problem: str) -> None:
        """Return when *told* says so; TimeoutError says what is the *problem*."""
        with self.changed:
            if not self.changed.wait_for(told, PATIENCE):
                raise TimeoutError(f"{problem}, but {self.seen()}: {self.lines}")

    def seen(self) -> list[str]:
        return [
            transition["Status"] for transition in self._job.members.get("SecondaryStatusTransitions", ())
        ]

    def _live(self) -> None:
        """Run attempt after attempt, then the end; the sandbox's own mistake is an InternalServerError."""
        try:
            number = 1
            while (ending := self._attempt(number)) is Ending.INTERRUPTED:
                back = clock.now() + progress.takes("training.capacity")
                self.lines = []
                self._become("Interrupted")
                if (waited := self._await_capacity(back)) is not None:
                    self._over("Stopped", waited)
                    return
                number += 1
                self._become("Starting")
        except JobFailedError as failed:
            self._fail(str(failed))
        except Exception:
            traceback.print_exc()
            self._fail("InternalServerError: We encountered an internal error. Please try again.")
        else:
            if ending is not Ending.GONE:
                self._over("Completed" if ending is None else "Stopped", ending)

    # --- one attempt -----------------------------------------------------------------------------

    def _attempt(self, number: int) -> Ending | None:
        """Download, train, and upload unless interrupted; None if the program ended by itself."""
        folder = self._runner.root / self._call.account / self._call.region / self._job.name
        container = Container(folder / f"attempt-{number}", self._job.members, self._runner.s3)
        with self._billing():
            self._become("Downloading")
            container.fill()
            self._become("Training")
            ending, status = self._train(container)
            if ending in (Ending.INTERRUPTED, Ending.GONE):
                container.remove()
                return ending
            self._become("Uploading")
            if uri := container.upload():
                self._become(None, ModelArtifacts={"S3ModelArtifacts": uri})
        if ending is None and status != 0:
            wrote = container.failure()
            raise JobFailedError(
                f"AlgorithmError: ExecuteUserScriptError: ExitCode {status}. {wrote}".strip()
            )
        container.remove()
        return ending

    @contextmanager
    def _billing(self) -> Iterator[None]:
        """Bill from downloading to the end of uploading (developer guide; not Starting and Pending)."""
        started = clock.now()
        self._become(None, **({} if self._billed else {"TrainingStartTime": started}))
        self._billed.append((started, started))
        self._become(None, BilledPeriods=[*self._billed[:-1], (started, None)])
        try:
            yield
        finally:
            self._billed[-1] = started, clock.now()
            self._become(None, BilledPeriods=list(self._billed))

    def _train(self, container: Container) -> tuple[Ending | None, int]:
        """Run the program until it ends or has to; why it had to, and its exit status."""
        environment = container.environment(
            {
                "AWS_ENDPOINT_URL": self._runner.url,
                "AWS_ACCESS_KEY_ID": ROOT_KEY,
                "AWS_SECRET_ACCESS_KEY": "sandbox",
                "AWS_DEFAULT_REGION": self._call.region,
                "AWS_REGION": self._call.region,
                "AWS_EC2_METADATA_DISABLED": "true",
                "NO_PROXY": "127.0.0.1",
                "TRAINING_JOB_ARN": self._job.arn,
            }
        )
        process = subprocess.Popen(
            container.command(),
            cwd=container.code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reader = Thread(target=self._log, args=(process,), daemon=True)
        reader.start()
        killed = False
        try:
            ending, killed = self._watch(process, container)
        finally:
            with suppress(ProcessLookupError):  # what the program started, too: its container is over
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join(PATIENCE)
        if not killed:
            container.sync()
        return ending, process.returncode

    def _watch(self, process: subprocess.Popen[bytes], container: Container) -> tuple[Ending | None, bool]:
        """Wait until the process is over; return why it was made to end, and whether SIGKILL had to do it."""
        ending: Ending | None = None
        kill_at = dt.datetime.max.replace(tzinfo=dt.UTC)
        while process.poll() is None:
            container.sync()
            if ending is None and (ending := self._due()) is not None:
                kill_at = clock.now() + progress.takes("training.stop")
                process.send_signal(signal.SIGTERM)
            if ending is Ending.GONE or clock.now() >= kill_at:
                return ending, True
            self.wake.wait(POLL)
            self.wake.clear()
        return ending, False

    def _due(self) -> Ending | None:
        """Return the reason to end the program now, or None. All that is billed counts for MaxRuntime."""
        ending = self._over_anyway()
        ran = sum((end - start for start, end in self._billed[:-1]), clock.now() - self._billed[-1][0])
        over = ran >= dt.timedelta(seconds=self._limits["MaxRuntimeInSeconds"])
        return Ending.RUNTIME if over and ending in (None, Ending.WAIT) else ending

    def _await_capacity(self, back: dt.datetime) -> Ending | None:
        """Wait until there is capacity again; return why the job is over before that, if it is."""
        while clock.now() < back:
            if (ending := self._over_anyway()) not in (None, Ending.INTERRUPTED):
                return ending
            self.wake.wait(POLL)
            self.wake.clear()
        return None

    def _over_anyway(self) -> Ending | None:
        """Return the reason to end the job now, whether its program runs or waits for capacity."""
        if self._runner.closing.is_set() or not self._there():
            return Ending.GONE
        if (asked := self.asked) is not None:
            self.asked = None
            return asked
        longest = self._limits.get("MaxWaitTimeInSeconds")
        waited = longest is not None and clock.now() >= self._created + dt.timedelta(seconds=longest)
        return Ending.WAIT if waited else None

    # --- what is told of it ----------------------------------------------------------------------

    def _there(self) -> bool:
        """Tell whether the job is still in the account: it is not after a reset."""
        with state.LOCK:
            return resources(self._call, jobs.TRAINING).get(self._job.name) is self._job

    def _become(self, secondary: str | None, **members: Any) -> None:
        with state.LOCK:
            if secondary is not None:
                members |= {
                    "SecondaryStatus": secondary,
                    "SecondaryStatusTransitions": jobs.moved(self._job, secondary, clock.now()),
                }
            self._job.touch(**members)
        with self.changed:
            self.changed.notify_all()

    def _over(self, status: str, ending: Ending | None, **members: Any) -> None:
        """End the job: record what it trained and what of that is billed, which on spot is less."""
        if ending is Ending.GONE:
            return
        ended = self._billed[-1][1] if self._billed else clock.now()
        trained = sum((end - start for start, end in self._billed), dt.timedelta())
        seconds = max(1, round(trained.total_seconds()))
        billed = max(1, round(seconds * SPOT)) if self.spot else seconds
        with state.LOCK:
            self._become(
                status if ending is None else ending.value,
                TrainingJobStatus=status,
                TrainingEndTime=ended,
                TrainingTimeInSeconds=seconds,
                BillableTimeInSeconds=billed,
                **members,
            )
            jobs.retain_pool(self._call, self._job, ended)

    def _fail(self, reason: str) -> None:
        if self._there():
            self._over("Failed", None, FailureReason=reason[:1024])

    def _log(self, process: subprocess.Popen[bytes]) -> None:
        """Log everything that the program prints, at the sandbox's time."""
        stream = f"{self._job.name}/{HOST}-{clock.millis() // 1000}"
        assert process.stdout is not None  # noqa: S101 - for the type checker
        with process.stdout as printed:
            for raw in printed:
                if not (line := raw.decode(errors="replace").rstrip()):
                    continue
                with state.LOCK:
                    if self._there():
                        event = (clock.text(clock.now()), line)
                        logs.seed(self._call.account, self._call.region, GROUP, stream, [event])
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
