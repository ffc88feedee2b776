"""Validate and publish definitions; drafts, jobs, and the check of a run's input."""
