"""The vocabulary as frozen values: states and transitions, keys, outcomes, releases, requests, the actor. No model, no
SQL.
"""
