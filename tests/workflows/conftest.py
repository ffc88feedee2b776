from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from workflows.models import Workspace


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_superuser("admin", "admin@example.com", "a-password-for-tests")


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.create(name="default")
