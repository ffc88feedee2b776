"""Validate and publish definitions; drafts, jobs, checked inputs."""
