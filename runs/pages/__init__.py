"""Pages without a login: the approval link."""
