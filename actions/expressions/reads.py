"""What expressions read, path by path. Imported by itself: it stands above the language."""

from __future__ import annotations

from typing import NamedTuple

from actions.base import Json
from actions.expressions.language import Expression, parsed, parsed_bare
from actions.expressions.syntax import Path


class Read(NamedTuple):
    """An expression, where it stands, and the paths that it reads, such as ("steps", "a", "output")."""

    where: str
    source: str
    paths: tuple[Path, ...]


def reads(value: Json, *, path: str) -> list[Read]:
    """Return what each expression of the value's strings reads. Expressions that are not valid are left out."""
    return [_read(where, expression) for where, expression in parsed(value, path=path)]


def expression_reads(source: str, *, path: str) -> list[Read]:
    """Return what a bare expression reads, as a list of one; an empty list if it is not valid."""
    expression = parsed_bare(source)
    return [] if expression is None else [_read(path, expression)]


def _read(where: str, expression: Expression) -> Read:
    return Read(where, expression.source.strip(), expression.paths if expression.path is None else (expression.path,))
