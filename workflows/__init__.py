"""What should happen: definitions, versions, graph. Never asks whether it happened."""
