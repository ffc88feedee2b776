"""The embedded stack of `make up` and of the tests: PostgreSQL, Valkey, and the processes around them.

Nothing here imports Django: it runs before there are settings to load.
"""
