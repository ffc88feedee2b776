"""Read what happened, for people: timelines, waits, lists, text for a terminal. Nothing here writes."""
