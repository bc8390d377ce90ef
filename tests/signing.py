"""Signs and verifies without KMS, which has tests of its own."""

from __future__ import annotations

import hmac

KEY = b"the key of this test"


class OwnMacs:
    """HMAC-SHA-256 under a key of one's own."""

    def __init__(self, key: bytes = KEY) -> None:
        self._key = key

    def sign(self, content: bytes) -> str:
        """The code of *content*."""
        return hmac.new(self._key, content, "sha256").hexdigest()

    def verify(self, content: bytes, mac: str) -> bool:
        """Whether *mac* is the code of *content*."""
        return hmac.compare_digest(self.sign(content), mac)
