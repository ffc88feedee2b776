"""The execution dashboard: pages and buttons of Django's admin. Imports its pages, so that Django registers them."""

from runs.admin import approvals, dead_letters, processes, runs, step_runs, tickets

__all__ = ["approvals", "dead_letters", "processes", "runs", "step_runs", "tickets"]
