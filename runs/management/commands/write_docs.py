"""The command that generates docs/states.md, docs/expressions.md and docs/actions/ from the code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from actions import described, registry
from actions.expressions import reference
from runs.domain.states import PENDING, RUN_TRANSITIONS, STEP_TRANSITIONS, DeadLetterState

_DOCS = Path(__file__).resolve().parents[3] / "docs"
STATES = _DOCS / "states.md"
EXPRESSIONS = _DOCS / "expressions.md"
ACTIONS = _DOCS / "actions"
_ACTIONS_HEAD = """# Actions

Generated from the declarations in `actions/catalogue/` by `make docs`; a test performs each example.
`manage.py actions` lists them, with those of other packages that are installed; `manage.py actions http_request` prints
the page of one. `GET /api/v1/actions` has the same as JSON, with the JSON Schema of each config and output. How to
write an action: [writing-an-action.md](../writing-an-action.md).

| action | what it does |
|---|---|
"""
_HEAD = """# States

Generated from `runs/domain/states.py` by `make docs`; a test compares the two. Every transition is a guarded statement
in `runs/queries/records.py`, which returns the rows that it changed. If the guard does not hold, for example because
another worker was faster, it changes nothing.
"""
_EXPRESSIONS_HEAD = """# Expressions

The tables are generated from `actions/expressions/reference.py` by `make docs`; tests evaluate each example.

An expression stands between `{{` and `}}` in a text of a definition, or bare where only an expression may stand: in
`if`, in a condition's `expression` and in a transform's `map`. What it may read, and what it may cost, is in
[definitions.md](definitions.md). A text that is one expression and nothing else has the type of its value:
`"{{ input.age }}"` is a number if the age is one. In a longer text, texts stand as they are and all else as JSON; but
in a text that is an argument, such as a URL, null, lists and objects are refused. `{{ omit }}` leaves out the field,
key or item whose value it is.

Values are those of JSON. `a.b`, `a['b']` and `a[0]` lead into objects and lists; a path that does not exist fails, with
the names that are there, unless `|default(...)` follows. There are `+ - * / // % **`, `~` (joins as text), comparisons
(`== != < <= > >= in`, `not in`), `and or not`, `a if test else b`, slices (`rows[:3]`), lists and objects, `range(n)`.
Statements, comments, calls, attributes of Python and anything else of Jinja do not exist.

In texts of an expression a backslash is written twice: `'\\\\d+'` is the regular expression `\\d+`. In YAML, single
quotes around the whole keep backslashes as they are.

## Filters

A filter stands behind a value: `input.name|trim|upper`. Arguments in brackets may be named: `add_time(days=1)`.

- Moments are texts in ISO 8601 with an offset or a zone (`2026-03-01T09:00:00Z`, `2026-03-01T09:00 Europe/Berlin`); the
  filters give them in UTC. `run.started_at` is one. Formats are those of strftime: `%Y-%m-%d %H:%M`.
- Exact decimals are texts with up to 50 digits, `"19.99"`.
- Regular expressions are those of [RE2](https://github.com/google/re2/wiki/Syntax), up to 500 characters, over texts of
  up to a million: without backreferences and lookaround, and never slower than the text is long.
- `attribute` is a dotted path into the items of a list: `customer.address.city`, `rows.0.id`.
"""
_TESTS_HEAD = """A test stands behind `is` or `is not`: `input.age is number`. `select`, `reject`, `selectattr` and
`rejectattr` take its name: `rows|selectattr('age', 'ge', 18)`.
"""


class Command(BaseCommand):
    """`manage.py write_docs`"""

    help = "Write docs/states.md, docs/expressions.md and docs/actions/ from the code."

    def handle(self, *args: Any, **options: Any) -> None:
        """Overwrite the pages, remove those of actions that are gone, and print their names."""
        ACTIONS.mkdir(exist_ok=True)
        pages = {STATES: markdown(), EXPRESSIONS: expressions_markdown(), **action_pages()}
        for page, text in pages.items():
            page.write_text(text)
            self.stdout.write(f"wrote {page.relative_to(_DOCS)}")
        for page in ACTIONS.glob("*.md"):
            if page not in pages:
                page.unlink()
                self.stdout.write(f"removed {page.relative_to(_DOCS)}")


def markdown() -> str:
    """Return the text of docs/states.md."""
    parts = [
        _HEAD,
        "## Run\n\n`paused` is not a state: a pause is a time on the run or its workflow. `ending` is not a state\n"
        "either: it is the outcome of a live run's work (`succeeded`, `failed`, `cancelled`) while compensation,\n"
        "`on_failure` or `finally` are still to be done.\n",
        _diagram(RUN_TRANSITIONS),
        _table(RUN_TRANSITIONS),
        "## StepRun\n\nA step has no row before something happens to it; the API calls that `pending`, or `skipped`,\n"
        "with the reason as its error, once the run's work is over and the step will never begin. The row of a pure\n"
        "step is written when the step has ended, so it is never `running`.\n",
        _diagram(STEP_TRANSITIONS),
        _table(STEP_TRANSITIONS),
        "## DeadLetter\n\n"
        + ", ".join(f"`{state.value}`" for state in DeadLetterState)
        + ": `open -> retried | discarded`.\n",
    ]
    return "\n".join(parts)


def expressions_markdown() -> str:
    """Return the text of docs/expressions.md."""
    parts = [_EXPRESSIONS_HEAD]
    parts += [f"### {title}\n\n{reference.table(entries)}" for title, entries in reference.SECTIONS.items()]
    return "\n".join([*parts, f"## Tests\n\n{_TESTS_HEAD}\n{reference.table(reference.TESTS_SECTION)}"])


def action_pages() -> dict[Path, str]:
    """Return the text of each page of docs/actions: one for each of our own actions, and an index."""
    own = [registry.get(name) for name in sorted(registry.ACTIONS)]
    rows = [f"| [`{action.name}`]({action.name}.md) | {action.summary} |\n" for action in own]
    return {
        ACTIONS / "README.md": _ACTIONS_HEAD + "".join(rows),
        **{ACTIONS / f"{action.name}.md": described.page(action) for action in own},
    }


def _diagram(transitions: Mapping[Any, frozenset[Any]]) -> str:
    lines = [
        f"    {_name(source)} --> {target.value}"
        for source, targets in transitions.items()
        for target in sorted(targets)
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```\n"])


def _table(transitions: Mapping[Any, frozenset[Any]]) -> str:
    lines = ["| from | to |", "|---|---|"]
    for source, targets in transitions.items():
        names = ", ".join(f"`{target.value}`" for target in sorted(targets))
        lines.append(f"| `{_name(source)}` | {names or 'nothing: it has ended'} |")
    return "\n".join(lines) + "\n"


def _name(state: StrEnum | None) -> str:
    return PENDING if state is None else state.value
