"""Who may do what: tokens and authentication."""
