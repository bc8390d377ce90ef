"""Objects under a KMS key, and image repositories in pages."""

import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

BODY = b"weights"


def md5(text: bytes) -> Any:
    return hashlib.md5(text, usedforsecurity=False)


MD5 = f'"{md5(BODY).hexdigest()}"'
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/models"}


@pytest.fixture
def s3(aws: Any) -> Any:
    client = aws("s3")
    client.create_bucket(Bucket="models")
    return client


def test_an_etag_under_a_kms_key_is_opaque_and_another_for_each_put(s3: Any) -> None:
    puts = [s3.put_object(Bucket="models", Key=f"m{n}", Body=BODY, **KMS)["ETag"] for n in range(2)]
    puts.append(s3.put_object(Bucket="models", Key="m0", Body=BODY, **KMS)["ETag"])

    assert len({MD5, *puts}) == 4
    assert s3.head_object(Bucket="models", Key="m1")["ETag"] == puts[1]
    assert {one["ETag"] for one in s3.list_objects_v2(Bucket="models")["Contents"]} == set(puts[1:])
    assert s3.put_object(Bucket="models", Key="m", Body=BODY)["ETag"] == MD5
    assert s3.put_object(Bucket="models", Key="n", Body=BODY, ServerSideEncryption="AES256")["ETag"] == MD5


def test_a_bucket_s_default_encryption_and_copies_count_too(s3: Any) -> None:
    s3.put_object(Bucket="models", Key="plain", Body=BODY)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket="models", ServerSideEncryptionConfiguration={"Rules": [rule]})

    put = s3.put_object(Bucket="models", Key="m", Body=BODY)["ETag"]
    copied = s3.copy_object(Bucket="models", Key="c", CopySource="models/plain")["CopyObjectResult"]["ETag"]

    assert len({MD5, put, copied}) == 3


def test_a_multipart_etag_goes_on_telling_its_parts(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="models", Key="big", **KMS)["UploadId"]
    about = {"Bucket": "models", "Key": "big", "UploadId": upload}
    body = [b"a" * (5 * 2**20), b"b"]
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**about, PartNumber=n, Body=part)["ETag"]}
        for n, part in enumerate(body, 1)
    ]
    etag = s3.complete_multipart_upload(**about, MultipartUpload={"Parts": parts})["ETag"].strip('"')

    digest = md5(b"".join(md5(part).digest() for part in body)).hexdigest()
    assert etag.endswith("-2")
    assert etag != f"{digest}-2"


def test_repositories_are_listed_in_pages(aws: Any) -> None:
    ecr = aws("ecr")
    for number in range(101):
        ecr.create_repository(repositoryName=f"r{number:03}")

    first = ecr.describe_repositories()
    second = ecr.describe_repositories(nextToken=first["nextToken"])

    assert (len(first["repositories"]), len(second["repositories"])) == (100, 1)
    assert "nextToken" not in second
    assert len(ecr.describe_repositories(maxResults=1000)["repositories"]) == 101
    assert len(ecr.describe_repositories(repositoryNames=["r007"])["repositories"]) == 1
    with pytest.raises(ClientError, match="InvalidParameterException"):
        ecr.describe_repositories(repositoryNames=["r007"], maxResults=5)
