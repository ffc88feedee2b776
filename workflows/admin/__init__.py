"""The admin's pages for workflows, workspaces, users and schedules. Imports them, so that Django registers them."""

from workflows.admin import periodic_tasks, users, variables, workflows, workspaces

__all__ = ["periodic_tasks", "users", "variables", "workflows", "workspaces"]
