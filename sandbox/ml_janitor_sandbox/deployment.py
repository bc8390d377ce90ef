"""The resources of a deployed stack: the ledger's table, the report bucket, and the secrets for Slack."""

import json
from contextlib import suppress

import boto3

from ml_janitor.detectors import DETECTORS
from ml_janitor.ledger.signatures import SigningKey
from ml_janitor_sandbox.slack import SIGNING_SECRET, TOKEN

REGION = "us-east-1"
TABLE = "ml-janitor-ledger"
BUCKET = "ml-janitor-reports"
SECRET = "ml-janitor/slack"
SIGNING = "ml-janitor/slack-signing"
KEYS = {key: f"alias/ml-janitor-{key.name.lower()}" for key in SigningKey}
WORKER, UNDO = "ml-janitor-slack-worker", "ml-janitor-undo"


def deploy(url: str, *, secret: str = TOKEN) -> dict[str, str]:
    """
    Make them in the sandbox at *url*; the answer is what the functions' environment then says.

    Existing resources stay: two sandboxes in one process share their state. The table is
    as the stack makes it, down to its keys and the attribute that ends an item's life.
    *secret* is what Slack's secret holds.
    """
    session = boto3.Session("AKIASANDBOX", "sandbox", region_name=REGION)
    dynamodb = session.client("dynamodb", endpoint_url=url)
    with suppress(dynamodb.exceptions.ResourceInUseException):
        dynamodb.create_table(
            TableName=TABLE,
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.update_time_to_live(
            TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )
    session.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
    secrets = session.client("secretsmanager", endpoint_url=url)
    for name, value in ((SECRET, secret), (SIGNING, SIGNING_SECRET)):
        with suppress(secrets.exceptions.ResourceExistsException):
            secrets.create_secret(Name=name, SecretString=value)
    kms = session.client("kms", endpoint_url=url)
    there = {known["AliasName"] for known in kms.list_aliases()["Aliases"]}
    for alias in set(KEYS.values()) - there:
        made = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=alias, TargetKeyId=made)
    return {
        "JANITOR_TABLE": TABLE,
        "JANITOR_BUCKET": BUCKET,
        "JANITOR_SLACK_URL": f"{url}/slack/api/",
        "JANITOR_SIGNING_SECRET": SIGNING,
        "JANITOR_WORKER": WORKER,
        "JANITOR_UNDO": UNDO,
        **{key.value: alias for key, alias in KEYS.items()},
        "JANITOR_FUNCTIONS": json.dumps(
            {detector.name: f"ml-janitor-{detector.name}" for detector in DETECTORS}
        ),
    }
