"""What no message moves: the sweep, alerts, retention, the invariants."""
