"""API keys: `pxl_<prefix>_<secret>`, where the prefix names the key and the secret proves it.

The secret has 256 random bits, so a plain SHA-256 of it can't be searched backwards: slow password
hashes exist for secrets that people choose, and would cost each request what an image costs.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

WRITE: Final = "images:write"
READ: Final = "images:read"
PRESETS: Final = "presets:write"
"""To change what images of all tenants are made into."""

SCOPES: Final = frozenset({READ, WRITE, PRESETS})
IMAGES: Final = frozenset({READ, WRITE})
"""What a key may do unless somebody says otherwise."""

_KEY = re.compile(r"pxl_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """A key in the clear, in its parts; it is shown once, when it is made."""

    prefix: str
    secret: str

    @property
    def digest(self) -> str:
        """What is stored: SHA-256 of prefix and secret, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """The key as the client sends it."""
        return f"pxl_{self.prefix}_{self.secret}"

    def proves(self, digest: str) -> bool:
        """Whether this is the key of that digest, in time that tells nothing."""
        return hmac.compare_digest(self.digest, digest)


def new_secret() -> Secret:
    """A new random key."""
    return Secret(secrets.token_hex(_PREFIX_BYTES), secrets.token_hex(_SECRET_BYTES))


def parse(text: str) -> Secret | None:
    """The parts of a key, or None for a text that can't be one."""
    match = _KEY.fullmatch(text)
    return Secret(match[1], match[2]) if match else None
