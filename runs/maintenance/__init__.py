"""What happens without a message: the sweep, alerts, retention, and the check of invariants."""
