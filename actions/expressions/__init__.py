"""The expression language between `{{` and `}}`: checking, references to steps, and evaluation under limits."""

from actions.expressions import all_filters
from actions.expressions.language import (
    MAX_EXPRESSIONS,
    TOO_MANY,
    ExpressionError,
    check,
    check_expression,
    expression_references,
    has_expression,
    names_in,
    references,
    truthy,
)
from actions.expressions.rendering import Template, evaluate, render
from actions.expressions.turns import in_turn
from actions.expressions.values import WEB_CPU_MILLISECONDS, shared

__all__ = [
    "MAX_EXPRESSIONS",
    "TOO_MANY",
    "WEB_CPU_MILLISECONDS",
    "ExpressionError",
    "Template",
    "all_filters",
    "check",
    "check_expression",
    "evaluate",
    "expression_references",
    "has_expression",
    "in_turn",
    "names_in",
    "references",
    "render",
    "shared",
    "truthy",
]
