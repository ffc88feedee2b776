"""What a process does not need it does not load: memory is paid for by every process."""

from __future__ import annotations

import os
import subprocess
import sys

from project.env import BASE_DIR


def loaded(code: str) -> set[str]:
    """The modules of a fresh process after this code."""
    words = [sys.executable, "-W", "ignore", "-c", f"{code}\nimport sys; print(*sys.modules)"]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings_static"}
    return set(subprocess.run(words, cwd=BASE_DIR, env=env, capture_output=True, text=True, check=True).stdout.split())


def test_workers_and_beat_do_without_the_admin_and_the_api() -> None:
    found = loaded("from project.celery import app; app.loader.import_default_modules(); app.finalize()")
    assert "runs.worker.tasks" in found
    assert not found & {"runs.admin.runs", "runs.api.urls", "rest_framework.views", "project.urls"}


def test_web_and_workers_load_an_action_when_it_is_asked_for() -> None:
    found = loaded("import project.wsgi; project.wsgi.application; from actions import registry; registry.get('wait')")
    assert {name for name in found if name.startswith("actions.catalogue.")} == {
        "actions.catalogue.wait",
        "actions.catalogue.wait_for_signal",  # its rule for names is that of signals over the API
    }
    assert "actions.described" not in found


def test_flower_does_without_django_s_apps() -> None:
    found = loaded("from project.flower import app; app.loader.import_default_modules(); app.finalize()")
    assert not found & {"django.db", "runs", "workflows"}
