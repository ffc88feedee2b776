"""What happened: states, transitions, compile, execute, recover, dead letters."""
