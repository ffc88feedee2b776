"""One link of one set of runs: load or claim, attempt, record, release; waits, for_each, sub-workflows, endings, the
lease.
"""
