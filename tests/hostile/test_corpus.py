"""A share of the hostile corpus, and what holds of all of it."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections import Counter

from project.env import BASE_DIR
from tests.hostile import corpus, results
from tests.hostile.case import MEGABYTES, MILLISECONDS

# `make test` performs one case in so many, always the same ones.
_SHARE = 36


def test_a_share_of_the_corpus_is_held_off() -> None:
    share = [case.name for case in corpus.cases() if zlib.crc32(case.name.encode()) % _SHARE == 0]
    assert len(share) > 20
    # Other tests use the same processors, and then the same work takes more of their time.
    env = {**os.environ, "STEPWISE_HOSTILE_SLACK": "4"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile", *share],
        cwd=BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_corpus_has_500_cases_with_names_of_their_own() -> None:
    names = Counter(case.name for case in corpus.cases())
    assert len(names) >= 500
    assert [name for name, count in names.items() if count > 1] == []


def test_a_bound_that_is_wider_than_usual_has_a_reason() -> None:
    wide = [one for one in corpus.cases() if one.milliseconds > MILLISECONDS or one.megabytes > MEGABYTES]
    assert [case.name for case in wide if not case.reason] == []


def test_the_page_of_security_shows_the_stored_results_and_that_nothing_got_through() -> None:
    assert results.PAGE.read_text(encoding="utf-8") == results.page()
    assert {kind: one["got_through"] for kind, one in results.kept().items() if one["got_through"]} == {}
    kinds = Counter(case.kind for case in corpus.cases())
    assert {kind: one["tries"] for kind, one in results.kept().items()} == kinds
