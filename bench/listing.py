"""
Listing a million objects: in ranges, with what is found in sorted files, beside boto3's bare pager.

S3 is a process that only lists. Every tenth key is a model artifact's.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3

from bench.box import ACCOUNT, LATENCY, NOW, REGION, talk_to
from bench.endpoints import spread
from ml_janitor.aws.calls import make_client
from ml_janitor.aws.client import open_regions
from ml_janitor.detectors.duplicate_artifacts.artifacts import ArtifactNames, list_buckets

FEW, MANY = 100_000, 1_000_000
ROUNDS = 3
PAGE = 1_000
TARGET = 1.2
"""Times the pager's seconds that a page may take."""


def main() -> None:
    """Time both in turns without and with latency, then a million keys, and print the ratios."""
    print(f"{ROUNDS} rounds of {FEW:,} keys in turns. Numbers are the least, the median and the most.")
    for latency in (0.0, LATENCY):
        with served(latency):
            rounds = [[timed(read, FEW) for read in (pager, own_pager, in_ranges)] for _ in range(ROUNDS)]
            bare = [1000 * seconds for (seconds, _), *_ in rounds]
            times = [ours[0] / theirs[0] for theirs, _, ours in rounds]
            work = [ours[1] / theirs[1] for theirs, _, ours in rounds]
            own = [ours[0] / theirs[0] for _, theirs, ours in rounds]
            print(f"  {1000 * latency:.0f} ms a call: {spread(bare, 1)} ms a page of the pager")
            print(f"    of its time, a page in ranges takes {spread(times, 2)} (target: {TARGET} at most)")
            print(f"    of its work of the processor        {spread(work, 2)}")
            print(f"    of its time with our client         {spread(own, 2)}")
            if latency:
                seconds, _ = timed(in_ranges, MANY)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"  {MANY:,} keys in {seconds * MANY / PAGE:.0f} s; peak memory {peak:.0f} MB")
                scaled = [1000 * seconds / each for each in bare]
                print(f"    of the pager's time, a page takes   {spread(scaled, 2)}")


def timed(read: Callable[[int], int], keys: int) -> tuple[float, float]:
    """Measure the seconds that *read* takes for a page, and the processor's seconds."""
    begun, worked = time.perf_counter(), time.process_time()
    if (found := read(keys)) != keys:
        sys.exit(f"{found:,} of {keys:,} keys were found")
    pages = keys / PAGE
    return (time.perf_counter() - begun) / pages, (time.process_time() - worked) / pages


def pager(keys: int) -> int:
    """List with boto3's own pager, the obvious way."""
    return paged(boto3.client("s3"), keys)


def own_pager(keys: int) -> int:
    """List with the janitor's client, which parses a page itself."""
    return paged(make_client(boto3.Session(), "s3", REGION, 3), keys)


def paged(client: Any, keys: int) -> int:
    """Count the objects in boto3's pages."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=f"keys-{keys}")
    return sum(len(page["Contents"]) for page in pages)


def in_ranges(keys: int) -> int:
    """As a sweep lists, to the last of the artifacts in their order."""
    with open_regions(boto3.Session(), account=ACCOUNT, regions=[REGION], attempts=3, pace=None) as (aws,):
        found = list_buckets(aws, {f"keys-{keys}": REGION}, ArtifactNames(), NOW)
        artifacts = sum(1 for _ in found.artifacts())
    return found.shelves[f"keys-{keys}"].objects if artifacts == keys // 10 else artifacts


@contextmanager
def served(latency: float) -> Iterator[None]:
    """S3 in a process of its own, to which every client talks meanwhile."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(there, latency), daemon=True)
    process.start()
    talk_to(here.recv())
    try:
        yield
    finally:
        del os.environ["AWS_ENDPOINT_URL"]
        process.terminate()
        process.join()


def serve(told: Connection, latency: float) -> None:
    """Answer ListObjectsV2 of the buckets, and nothing else."""
    buckets = {f"keys-{count}": [key(number) for number in range(count)] for count in (FEW, MANY)}

    class Listing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(path.query).items()}
            time.sleep(latency)
            body = page(buckets[path.path.strip("/")], asked).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listing) as server:
        told.send(f"http://127.0.0.1:{server.server_port}")
        server.serve_forever()


def key(number: int) -> str:
    """Make runs of ten thousand objects, the first tenth of which are artifacts."""
    run, at = divmod(number, 10_000)
    return f"runs/{run:03}/{at:05}" + ("/model.tar.gz" if at < 1_000 else "/events.out.tfevents")


def page(keys: list[str], asked: dict[str, str]) -> str:
    """Write the page that was *asked* for, as S3 does."""
    start = bisect_right(keys, asked.get("continuation-token") or asked.get("start-after", ""))
    end = start + int(asked.get("max-keys", PAGE))
    contents = "".join(
        f"<Contents><Key>{listed}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{n:032x}"
        f"&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
        f"<Size>{1024**2 + n}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for n, listed in enumerate(keys[start:end], start)
    )
    more = end < len(keys)
    token = f"<NextContinuationToken>{keys[end - 1]}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<KeyCount>{len(keys[start:end])}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        f"<EncodingType>url</EncodingType>{contents}</ListBucketResult>"
    )


if __name__ == "__main__":
    main()
