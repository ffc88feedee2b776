"""What the actions that work on lists have in common: reading the list and paths of its items, keys, and orders."""
