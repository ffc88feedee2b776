"""Credentials: kinds and their schemas, encryption at rest, rows, and the vault that opens one for an attempt."""
