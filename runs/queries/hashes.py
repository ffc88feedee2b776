"""The hash of a jsonb value, whatever the order of keys and the spaces in which its JSON was written."""

from __future__ import annotations


def hashed(value: str) -> str:
    """Return the SQL of `sha256:` and the hash of this SQL expression, which is jsonb, as PostgreSQL writes it."""
    return f"'sha256:' || encode(sha256(convert_to(({value})::text, 'UTF8')), 'hex')"
