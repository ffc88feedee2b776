"""Take a set of runs through one link: load or claim, attempt, record, release.

Also what belongs to it: waits, for_each, sub-workflows, the end of a run, and the process lease.
"""
