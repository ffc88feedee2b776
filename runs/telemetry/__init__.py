"""What is published to monitoring: metrics."""
