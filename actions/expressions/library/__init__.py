"""Filters by subject: dates, encodings, regular expressions, exact decimals, lists and objects."""
