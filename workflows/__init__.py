"""What should happen: workflow definitions, their checks and versions. Nothing here knows about runs."""
