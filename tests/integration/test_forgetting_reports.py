"""A person's name leaves the reports of the bucket; what the ledger names by its hash stays to the letter."""

import boto3

from ml_janitor.ledger.files import get_hashed, put_hashed
from ml_janitor.report.html import pack_entries
from ml_janitor_cli.forget import Replacement, forget_in_reports

BUCKET = "reports"


def test_reports_forget_a_person_and_files_with_a_hash_do_not(session: boto3.Session) -> None:
    client = session.client("s3")
    client.create_bucket(Bucket=BUCKET)
    page = f"<p>anna</p><script>{pack_entries([{'owner': 'anna', 'name': 'x' * 50}])}</script>"
    for key, body, kind in (
        ("idle/report.html", page, "text/html"),
        ("idle/report.json", '{"owner": "anna"}', "application/json"),
        ("idle/other.json", '{"owner": "joanna"}', "application/json"),
        ("bill/picture.png", "anna", "image/png"),
    ):
        client.put_object(Bucket=BUCKET, Key=key, Body=body.encode(), ContentType=kind)
    listed = put_hashed(client, BUCKET, "organization/idle/run", b'[{"name": "anna"}]')

    assert forget_in_reports(client, BUCKET, Replacement("anna", "person-1")) == 2

    def read(key: str) -> tuple[str, str]:
        answer = client.get_object(Bucket=BUCKET, Key=key)
        return answer["Body"].read().decode(), answer["ContentType"]

    packed = pack_entries([{"owner": "person-1", "name": "x" * 50}])
    assert read("idle/report.html") == (f"<p>person-1</p><script>{packed}</script>", "text/html")
    assert read("idle/report.json") == ('{"owner": "person-1"}', "application/json")
    assert read("bill/picture.png")[0] == "anna"
    assert get_hashed(client, BUCKET, listed) == b'[{"name": "anna"}]'
