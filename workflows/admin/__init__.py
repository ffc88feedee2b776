"""The admin's pages for workflows, workspaces, credentials, users and schedules. Django registers what it imports."""

from workflows.admin import credentials, periodic_tasks, users, workflows, workspaces

__all__ = ["credentials", "periodic_tasks", "users", "workflows", "workspaces"]
