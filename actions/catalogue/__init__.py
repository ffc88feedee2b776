"""The actions, one file each; the registry finds them by their dotted paths."""
