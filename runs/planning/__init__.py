"""A version as a plan: its steps, links and segments, and what follows what. Pure."""
