"""What happened, for people: timelines, waits, lists, text for a terminal. Reads only."""
