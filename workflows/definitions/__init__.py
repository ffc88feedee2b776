"""The canonical definition of a workflow, and its checks."""
