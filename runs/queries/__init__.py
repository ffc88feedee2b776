"""Every SQL statement by its name, one file a feature, and the driver that runs them."""
