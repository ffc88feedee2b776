"""`make mutants`: apply each mutant in turn to a copy of the tree, and check that a test fails.

Exit status 1 if a mutant survives, or if the text that it replaces no longer exists. Arguments are names of mutants
(default: all).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from project.env import BASE_DIR
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.servers import start_once


def main(names: list[str]) -> int:
    """Test the mutants in turn, on database and broker servers of this process. Return the exit status."""
    start_once()
    with tempfile.TemporaryDirectory(prefix="stepwise-mutants-") as directory:
        tree = Path(directory) / "tree"
        _copy(tree)
        survivors = [one.name for one in MUTANTS if not (names and one.name not in names) and not _caught(one, tree)]
    if survivors:
        print(f"not caught: {', '.join(survivors)}")
    return 1 if survivors else 0


def _copy(tree: Path) -> None:
    """Copy the files that git tracks or would track, in their current state."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=BASE_DIR, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (BASE_DIR / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(BASE_DIR / name, tree / name)


def _caught(mutant: Mutant, tree: Path) -> bool:
    """Apply the mutant, run its tests, and restore the file. Return whether a test failed."""
    file = tree / mutant.file
    original = file.read_text(encoding="utf-8")
    if original.count(mutant.old) != 1:
        print(f"{mutant.name}: its text occurs {original.count(mutant.old)} times in {mutant.file}, not once")
        return False
    began = time.monotonic()
    file.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *mutant.tests],
            cwd=tree,
            env={**os.environ, "HYPOTHESIS_PROFILE": "teeth", "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / "hypothesis")},
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        file.write_text(original, encoding="utf-8")
    by = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    # Only a failing test counts; pytest's other exit statuses mean that it could not run the tests.
    caught = done.returncode == 1 and by is not None
    verdict = f"caught by {by[1]}" if caught and by else "SURVIVES"
    print(f"{mutant.name}: {verdict} ({time.monotonic() - began:.0f} s)\n    {mutant.promise}", flush=True)
    return caught


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
