"""Accepted forms of a definition, read into the canonical one and written back."""
