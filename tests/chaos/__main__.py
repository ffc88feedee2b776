"""`python -m tests.chaos`: generate docs/reliability.md from the stored results."""

from __future__ import annotations

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings_static"
django.setup()

from tests.chaos.results import PAGE, write_page  # noqa: E402  # its modules import models

write_page()
print(f"wrote {PAGE.name}")
