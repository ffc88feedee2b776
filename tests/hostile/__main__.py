"""`make hostile`: perform the whole corpus, each case in a process of its own, and write docs/security.md's table.

`--page` only writes the table from the stored results. Arguments are names of cases, to perform only those. Exit
status 1 if a case got through.
"""

from __future__ import annotations

import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings_static"
django.setup()

from tests.hostile import corpus, results  # noqa: E402  # not before there are settings
from tests.hostile.child import judged  # noqa: E402


def main(words: list[str]) -> int:
    """Perform the cases, or those that are named, and print what got through. Return the exit status."""
    if words != ["--page"]:
        cases = [case for case in corpus.cases() if not words or case.name in words]
        verdicts = []
        for number, case in enumerate(cases, 1):
            verdicts.append(judged(case))
            if (fault := verdicts[-1].fault) is not None:
                print(f"{case.kind}: {case.name}: {fault}", flush=True)
            elif number % 50 == 0:
                print(f"{number} of {len(cases)} cases", flush=True)
        through = sum(one.fault is not None for one in verdicts)
        print(f"{len(cases)} cases, {through} got through")
        if words or through:
            return 1 if through else 0
        results.keep(verdicts)
    results.PAGE.write_text(results.page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
