"""Hostile inputs: what each may cost, measured in a process of its own."""
