"""Signs and verifies without KMS, which has tests of its own."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from ml_janitor.ledger.signatures import Signatures, SigningKey

KEY = b"the key of this test"
NOT_YET = datetime(9999, 1, 1, tzinfo=UTC)


class OwnMacs:
    """HMAC-SHA-256 under a key of one's own."""

    def __init__(self, key: bytes = KEY, made: datetime = NOT_YET) -> None:
        self._key, self.made = key, made

    def sign(self, content: bytes) -> str:
        """The code of *content*."""
        return hmac.new(self._key, content, "sha256").hexdigest()

    def since(self) -> datetime:
        """When the key was made: after everything, unless a test says otherwise."""
        return self.made

    def verify(self, content: bytes, mac: str) -> bool:
        """Whether *mac* is the code of *content*."""
        return hmac.compare_digest(self.sign(content), mac)


def own_signatures(
    *only: SigningKey, key: bytes = KEY, made: datetime = NOT_YET, by_hand: bool = False
) -> Signatures:
    """Signatures with keys of a test: all of them, or *only* some. The key of records is *key* itself."""
    own = {of: b"" if of is SigningKey.RECORDS else of.encode() for of in only or SigningKey}
    macs = {of: OwnMacs(key + more, made) for of, more in own.items()}
    return Signatures(dict(macs), by_hand)
