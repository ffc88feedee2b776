"""The HTTP door: /api/v1, thin views over the verbs of runs and workflows."""
