"""API keys: `pxl_<prefix>_<secret>`, where the prefix names the key and the secret proves it.

The secret has 256 random bits, so nobody can find it by trying secrets against its SHA-256. Slow
password hashes are meant for secrets that people choose; here one would cost each request as much
CPU as an image.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal, get_args

Scope = Literal["images:read", "images:write", "images:erase", "presets:write", "admin"]

READ: Final = "images:read"
WRITE: Final = "images:write"
ERASE: Final = "images:erase"
PRESETS: Final = "presets:write"
"""scope to store presets that the key's tenant owns"""
ADMIN: Final = "admin"
"""scope to manage tenants, the keys of all tenants and shared presets; gives access to no image"""

SCOPES: Final[frozenset[str]] = frozenset(get_args(Scope))
IMAGES: Final[frozenset[Scope]] = frozenset({READ, WRITE})
"""default scopes of a new key"""

_KEY = re.compile(r"pxl_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_PREFIX_BYTES = 6
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """Key in clear text, in its parts; shown only once, when it is created."""

    prefix: str
    secret: str

    @property
    def digest(self) -> str:
        """SHA-256 of the whole key, hex; the database stores only this."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def text(self) -> str:
        """Text of the key, as the client sends it."""
        return f"pxl_{self.prefix}_{self.secret}"

    def proves(self, digest: str) -> bool:
        """True if the digest is that of this key; compares in constant time."""
        return hmac.compare_digest(self.digest, digest)


def new_secret() -> Secret:
    """Create a random key."""
    return Secret(secrets.token_hex(_PREFIX_BYTES), secrets.token_hex(_SECRET_BYTES))


def parse(text: str) -> Secret | None:
    """Parse a key into its parts; returns None for a text that is not a key."""
    match = _KEY.fullmatch(text)
    return Secret(match[1], match[2]) if match else None
