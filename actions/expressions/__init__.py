"""The expression language: what may stand between `{{` and `}}`, checked, rendered and bounded."""

from actions.expressions.language import (
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
