"""The admin's pages for workflows and workspaces. Imports the modules, so that Django registers their pages."""

from workflows.admin import workflows, workspaces

__all__ = ["workflows", "workspaces"]
