"""An AWS of a few answers on this machine that records what it is asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

HOME = "us-east-1"
ARN = f"arn:aws:sagemaker:{HOME}:123456789012:training-job/"


class Recording(ThreadingHTTPServer):
    """Knows buckets by their region, prices of one instance, and answers CreateTrainingJob."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.forget()

    def forget(self) -> None:
        """As it is at first."""
        self.buckets: dict[str, tuple[int, str | None, str | None]] = {}
        """By name: HeadBucket's status (0: none), its region, GetBucketLocation's answer (None: denied)."""
        self.price: str | None = None
        self.failure: tuple[str, str] | None = None
        self.asked: list[str] = []
        self.created: list[dict[str, Any]] = []
        self.uploaded: dict[str, bytes] = {}
        self.statuses = ["InProgress"]
        self.streams = ["churn-1/algo-1-17", "churn-10/algo-1-3"]
        """Of a job, in the order in which it is described; the last one lasts."""
        self.logs: list[str] | None = None


class Handler(BaseHTTPRequestHandler):
    server: Recording
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    def do_HEAD(self) -> None:
        bucket = self.path.strip("/").split("?")[0]
        status, region, _ = self.server.buckets.get(bucket, (200, HOME, None))
        self.server.asked.append(f"HeadBucket {bucket}")
        if not status:
            self.close_connection = True
            return
        self._answer(status, b"", {"x-amz-bucket-region": region} if region else {})

    def do_GET(self) -> None:
        bucket = self.path.strip("/").split("?")[0]
        self.server.asked.append(f"GetBucketLocation {bucket}")
        located = self.server.buckets[bucket][2]
        if located is None:
            self._answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
            return
        if located == "hang up":
            self.close_connection = True
            return
        self._answer(200, f"<LocationConstraint>{located}</LocationConstraint>".encode())

    def do_PUT(self) -> None:
        self.server.uploaded[self.path] = self._body()
        self._answer(200, b"")

    def do_POST(self) -> None:
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.loads(self._body())
        self.server.asked.append(operation)
        if operation == "GetProducts":
            if self.server.price is None:
                self._answer(400, json.dumps({"__type": "AccessDeniedException", "message": "no"}).encode())
                return
            second = {"PriceList": [json.dumps(product(usd)) for usd in self.server.price.split()]}
            page = second if "NextToken" in body else {"PriceList": [], "NextToken": "2"}
            self._answer(200, json.dumps(page).encode())
        elif operation == "DescribeTrainingJob":
            statuses = self.server.statuses
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            job = {"TrainingJobArn": ARN + body["TrainingJobName"], "TrainingJobStatus": status}
            job |= {"FailureReason": "AlgorithmError"} if status == "Failed" else {}
            self._answer(200, json.dumps(job).encode())
        elif operation in ("ListTrainingJobs", "StopTrainingJob", "DescribeLogStreams", "GetLogEvents"):
            self.server.created.append(body)
            self._answer_about_jobs(operation, body)
        elif self.server.failure:
            code, message = self.server.failure
            self._answer(400, json.dumps({"__type": code, "message": message}).encode())
        else:
            self.server.created.append(body)
            self._answer(200, json.dumps({"TrainingJobArn": ARN + body["TrainingJobName"]}).encode())

    def _answer_about_jobs(self, operation: str, body: dict[str, Any]) -> None:
        answers: dict[str, Any] = {
            "ListTrainingJobs": {
                "TrainingJobSummaries": [
                    {
                        "TrainingJobName": "churn-1",
                        "TrainingJobArn": ARN + "churn-1",
                        "TrainingJobStatus": "Stopped",
                        "CreationTime": 1_790_000_000,
                    }
                ]
            },
            "StopTrainingJob": {},
        }
        if operation == "DescribeLogStreams":
            of_job = body["logStreamNamePrefix"]
            streams = [{"logStreamName": name} for name in self.server.streams if name.startswith(of_job)]
            answers[operation] = {"logStreams": streams}
        if operation == "GetLogEvents":
            lines = self.server.logs or []
            first = 0 if body.get("startFromHead") else max(len(lines) - 2, 0)
            begin = int(body.get("nextToken", first))
            events = [{"message": line} for line in lines[begin : begin + 2]]
            answers[operation] = {"events": events, "nextForwardToken": str(begin + len(events))}
        if operation == "DescribeLogStreams" and self.server.logs is None:
            error = {"__type": "ResourceNotFoundException", "message": "no group"}
            self._answer(400, json.dumps(error).encode())
            return
        self._answer(200, json.dumps(answers[operation]).encode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return found
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def product(
    dollars: str, usage: str = "USE1-Train:ml.g5.xlarge", *, unit: str = "Hrs", currency: str = "USD"
) -> dict[str, Any]:
    """A product as GetProducts answers it."""
    dimension = {"unit": unit, "pricePerUnit": {currency: dollars}}
    return {
        "product": {"attributes": {"usagetype": usage}},
        "terms": {"OnDemand": {"one": {"priceDimensions": {"one": dimension}}}},
    }


@contextmanager
def recording() -> Iterator[Recording]:
    server = Recording()
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
