"""The expression language between `{{` and `}}`: checking, references to steps, and evaluation under limits."""

from actions.expressions.language import (
    MAX_EXPRESSIONS,
    TOO_MANY,
    ExpressionError,
    Template,
    check,
    check_expression,
    evaluate,
    expression_references,
    has_expression,
    references,
    render,
    truthy,
)

__all__ = [
    "MAX_EXPRESSIONS",
    "TOO_MANY",
    "ExpressionError",
    "Template",
    "check",
    "check_expression",
    "evaluate",
    "expression_references",
    "has_expression",
    "references",
    "render",
    "truthy",
]
