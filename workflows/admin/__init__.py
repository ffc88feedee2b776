"""The admin's pages of definitions. Imports its pages, so that Django registers them."""

__all__ = ["workflows"]
