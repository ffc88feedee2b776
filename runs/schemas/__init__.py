"""The JSON of requests and responses, shared by all doors."""
