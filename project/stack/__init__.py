"""The embedded stack of `make up` and of the tests: PostgreSQL, Valkey, and the processes of the installation.

Nothing here imports Django, because it runs before the settings can be loaded.
"""
