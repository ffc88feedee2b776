from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.installation import Installation


@pytest.fixture(scope="session")
def _installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The only one of the session: to make and migrate one takes longer than most that is tested with it."""
    settings = {"OUTBOUND_ALLOW": "127.0.0.1", "GRANIAN_LOG_ACCESS_ENABLED": "1"}
    made = Installation(tmp_path_factory.mktemp("up") / "home", **settings)
    yield made
    if made.alive():
        made.stop()


@pytest.fixture
def running(_installation: Installation) -> Installation:
    """The installation, started; a test may stop it."""
    if not _installation.alive():
        _installation.start()
    return _installation
