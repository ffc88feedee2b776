"""The baselines: other ways to do the same work, against which Stepwise is measured."""
