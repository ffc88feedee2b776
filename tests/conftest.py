"""Servers of our own, and Django set up on them, before any other conftest or test module is imported."""

from __future__ import annotations

import django

from tests.servers import start_once

# Here and not in a hook: conftest files further down import models, and pytest reads those before any hook runs.
start_once()
django.setup()
