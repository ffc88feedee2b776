"""Every suite that docs/performance.md names starts, without a server, a setting or a set-up Django."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from benchmarks import page_words
from project.env import BASE_DIR

SUITES = sorted(set(re.findall(r"-m (benchmarks\.\w+)", page_words.FOOT)))


@pytest.mark.parametrize("suite", ["benchmarks", *SUITES])
def test_a_suite_explains_itself(suite: str) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY")
    env = {name: value for name, value in os.environ.items() if name not in names}
    words = [sys.executable, "-W", "ignore", "-m", suite, "--help"]
    done = subprocess.run(words, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "--output" in done.stdout
