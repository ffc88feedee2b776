"""What every resource of the API shares: views, problems, parsers, filters, pagination, streams."""
