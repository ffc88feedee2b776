"""The admin's pages of definitions. Imports its pages, so that Django registers them."""

from workflows.admin import workflows, workspaces

__all__ = ["workflows", "workspaces"]
