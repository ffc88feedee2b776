"""Encrypt and decrypt by AES-256-GCM, with keys that the settings have: the first one encrypts, every one decrypts.

What is encrypted is bound to its row: workspace, credential and kind are the associated data. So a sealed value that
is copied into another row does not open there, and a new name changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

KEY_BYTES = 32
_NONCE_BYTES = 12
HOW_TO_MAKE = "make one with: python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())'"


class KeyMissing(Exception):
    """No key of the settings opens this, or there is none to encrypt with. The message says what to do."""


class Sealed(NamedTuple):
    """What was encrypted, and the id of the key that opens it."""

    key_id: str
    data: bytes


class Owner(NamedTuple):
    """What a sealed value belongs to. `part` keeps the values of one credential and its access token apart."""

    workspace: UUID
    credential: UUID
    kind: str
    part: str = "values"

    @property
    def associated(self) -> bytes:
        """The associated data."""
        return "|".join(
            ("stepwise-credential-1", str(self.workspace), str(self.credential), self.kind, self.part)
        ).encode()


def key_id(key: bytes) -> str:
    """Return the id of a key: the beginning of a hash of it, so that nobody has to name keys."""
    return hashlib.sha256(b"stepwise credential key" + key).hexdigest()[:12]


@lru_cache(maxsize=8)
def _parsed(entries: tuple[str, ...]) -> dict[str, AESGCM]:
    found: dict[str, AESGCM] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            key = base64.b64decode(entry.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            # Without the entry itself, which is a key that was copied badly.
            raise KeyMissing(f"entry {number} of CREDENTIAL_KEYS is not base64 of {KEY_BYTES} bytes; {HOW_TO_MAKE}")
        found.setdefault(key_id(key), AESGCM(key))
    return found


def keys() -> Sequence[str]:
    """Return the ids of the known keys, the one that encrypts first. Raises KeyMissing for a setting that is no key."""
    return [*_parsed(tuple(settings.CREDENTIAL_KEYS))]


def seal(plaintext: bytes, *, owner: Owner) -> Sealed:
    """Encrypt with the first key. Raises KeyMissing if there is none."""
    known = _parsed(tuple(settings.CREDENTIAL_KEYS))
    if not known:
        raise KeyMissing(
            "there is no key to encrypt credentials with: set CREDENTIAL_KEYS, or CREDENTIAL_KEYS_FILE, and keep it "
            f"with the backups; {HOW_TO_MAKE}"
        )
    first = next(iter(known))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return Sealed(first, nonce + known[first].encrypt(nonce, plaintext, owner.associated))


def unseal(sealed: Sealed, *, owner: Owner) -> bytes:
    """Decrypt. Raises KeyMissing if no known key opens it, or if it is another row's."""
    cipher = _parsed(tuple(settings.CREDENTIAL_KEYS)).get(sealed.key_id)
    if cipher is None:
        raise KeyMissing(
            f"its key {sealed.key_id} is not among CREDENTIAL_KEYS: add the key, or give the credential its values anew"
        )
    data = bytes(sealed.data)
    try:
        return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], owner.associated)
    except (InvalidTag, ValueError):
        raise KeyMissing("what is stored was changed, or copied from another row; give it its values anew") from None
