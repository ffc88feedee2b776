"""A process that forks while it has connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from project.env import BASE_DIR
from tests.actions import certificates
from tests.actions.raw_server import OK, answering, raw


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_forked_child_neither_uses_nor_ends_the_connections_of_its_parent(tmp_path: Path, scheme: str) -> None:
    context = certificates.served(tmp_path) if scheme == "https" else None
    trusted = [str(tmp_path / "trusted.pem")] if scheme == "https" else []
    with raw(answering(OK), context=context) as server:
        words = [sys.executable, "-m", "tests.actions.forking", server.url(), *trusted]
        done = subprocess.run(words, cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # The parent's and the child's.
    assert (server.accepted, len(server.requests)) == (2, 4)
