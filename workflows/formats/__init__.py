"""The accepted forms of a definition: translated into the canonical form, and exported as YAML."""
