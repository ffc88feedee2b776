"""The actions, one file each. actions/registry.py finds them by their dotted paths."""
