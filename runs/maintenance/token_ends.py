"""Log the API tokens that end soon, so that whoever uses them gets new ones in time."""

from __future__ import annotations

import logging
from datetime import datetime

from workflows.workspaces import tokens

log = logging.getLogger(__name__)

# One line for each token, and one line for all beyond these.
MOST_LINES = 100


def log_ending_soon(*, now: datetime | None = None) -> int:
    """Log `token_ends_soon` for each token that ends within tokens.WARNING_DAYS, and return how many they are."""
    ending = tokens.ending_soon(now=now)
    for token in ending[:MOST_LINES]:
        log.warning(
            "token_ends_soon",
            extra={
                "token": token.name,
                "prefix": token.prefix,
                "user": token.user.get_username(),
                "workspace": token.workspace.name,
                "ends_at": token.expires_at.isoformat() if token.expires_at else None,
                "do": "make a new one: manage.py create_token, or the tokens' page of the admin",
            },
        )
    count = ending.count()
    if count > MOST_LINES:
        log.warning("more_tokens_end_soon", extra={"count": count - MOST_LINES})
    return count
