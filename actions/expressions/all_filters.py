"""Adds the filters of actions.expressions.library to those of actions.expressions.filters, when it is imported."""

from __future__ import annotations

from actions.expressions.filters import FILTERS
from actions.expressions.library import codes, dates, decimals, lists, patterns

for _module in (codes, dates, decimals, lists, patterns):
    FILTERS.update(_module.FILTERS)
