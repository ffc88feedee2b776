"""Tokens that end soon are told in the log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from runs.maintenance import token_ends
from tests.flows import owner, workspace
from workflows.workspaces import tokens

pytestmark = pytest.mark.django_db


def test_tokens_that_end_within_two_weeks_are_logged_by_their_names(caplog: pytest.LogCaptureFixture) -> None:
    for name, days in ("ended", -1), ("soon", 13), ("later", 15):
        tokens.issue(workspace(), owner(), name, days=days)
    tokens.issue(workspace(), owner(), "never", days=None)
    assert token_ends.log_ending_soon() == 1
    [line] = [record for record in caplog.records if record.getMessage() == "token_ends_soon"]
    fields = vars(line)
    assert (fields["token"], fields["user"], fields["workspace"]) == ("soon", "owner", "default")
    assert token_ends.log_ending_soon(now=timezone.now() + timedelta(days=20)) == 0


def test_a_flood_of_tokens_that_end_is_cut_to_a_hundred_lines(caplog: pytest.LogCaptureFixture) -> None:
    for n in range(103):
        tokens.issue(workspace(), owner(), f"token {n}", days=2)
    assert token_ends.log_ending_soon() == 103
    names = [record.getMessage() for record in caplog.records]
    assert names.count("token_ends_soon") == token_ends.MOST_LINES
    assert names.count("more_tokens_end_soon") == 1
