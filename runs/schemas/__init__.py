"""Requests and responses as JSON, the same in every door."""
