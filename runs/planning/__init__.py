"""A workflow version as a plan: its steps, links and segments, and which steps follow which. Pure functions."""
