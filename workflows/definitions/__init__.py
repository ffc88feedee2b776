"""The canonical definition and its checks."""
