"""The vocabulary of runs as frozen values: states and transitions, keys, outcomes, releases, start requests, the actor.

No Django model and no SQL.
"""
