"""The execution dashboard: pages and buttons of Django's admin. Imports its pages, so that Django registers them."""

from runs.admin import approvals, runs

__all__ = ["approvals", "runs"]
