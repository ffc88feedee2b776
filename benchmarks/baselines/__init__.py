"""What Stepwise is measured against."""
