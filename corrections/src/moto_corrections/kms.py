"""KMS's HMAC keys: what moto leaves out of AWS's answers and refusals, and the default name of a policy."""

import hashlib
import hmac
from base64 import b64decode
from typing import Any

from moto.kms.utils import AbstractPrivateKey, KeySpec, generate_private_key

from moto_corrections.patches import AwsError, Call, backend, replaces, serves

LONGEST = 4096
ALGORITHMS = {f"HMAC_SHA_{bits}": f"sha{bits}" for bits in (224, 256, 384, 512)}

PAIRS = {KeySpec.RSA_2048, KeySpec.RSA_3072, KeySpec.RSA_4096, *KeySpec.ecc_key_specs()}
"""What has a private key; moto makes one of RSA for every other key too, which takes 0.1 s and more."""


@replaces("moto.kms.models:generate_private_key", was="cdf2b67aac14")
def private_key(key_spec: str) -> AbstractPrivateKey | None:
    """Return the private key of a pair; symmetric keys have none."""
    return generate_private_key(key_spec) if key_spec in PAIRS else None


@serves("kms", "GenerateMac")
def generate_mac(call: Call) -> dict[str, Any]:
    """Return the code of up to 4,096 bytes (API reference), with the key's ARN; a dry run makes none."""
    key, code = _code(call)
    _dry(call)
    algorithm = call.params["MacAlgorithm"]
    return {"Mac": code, "MacAlgorithm": algorithm, "KeyId": key.arn}


@serves("kms", "VerifyMac")
def verify_mac(call: Call) -> dict[str, Any]:
    """Answer that MacValid is true, or raise KMSInvalidMacException (API reference)."""
    key, code = _code(call)
    _dry(call)
    if not hmac.compare_digest(code, _bytes(call.params["Mac"])):
        raise AwsError("KMSInvalidMacException", "")
    return {"MacValid": True, "MacAlgorithm": call.params["MacAlgorithm"], "KeyId": key.arn}


@serves("kms", "GetKeyPolicy")
def get_key_policy(call: Call) -> dict[str, Any]:
    """Return the one policy of a key, called "default" unless the caller names it (API reference)."""
    return {"Policy": _key(call).policy, "PolicyName": call.params.get("PolicyName", "default")}


def _key(call: Call) -> Any:
    store = backend("kms", call.account, call.region)
    named = call.params["KeyId"]
    found = store.keys.get(store.any_id_to_key_id(named))
    if found is None:
        raise AwsError("NotFoundException", f"Key '{named}' does not exist")
    return found


def _code(call: Call) -> tuple[Any, bytes]:
    """Return the key that *call* names, if it is one for this, and the code of the message."""
    found = _key(call)
    if found.key_state != "Enabled":
        raise AwsError("KMSInvalidStateException", f"{found.arn} is {found.key_state}.")
    if found.key_usage != "GENERATE_VERIFY_MAC":
        message = f"{found.arn} key usage is {found.key_usage} which is not valid for {call.operation}."
        raise AwsError("InvalidKeyUsageException", message)
    content = _bytes(call.params["Message"])
    if not 1 <= len(content) <= LONGEST:
        raise AwsError("ValidationException", f"'message' must have 1 to {LONGEST} bytes")
    digest = ALGORITHMS[call.params["MacAlgorithm"]]
    return found, hmac.new(found.key_material, content, getattr(hashlib, digest)).digest()


def _dry(call: Call) -> None:
    if call.params.get("DryRun"):
        raise AwsError(
            "DryRunOperationException", "The request would have succeeded, but the DryRun option is set."
        )


def _bytes(given: str | bytes) -> bytes:
    return given if isinstance(given, bytes) else b64decode(given)
