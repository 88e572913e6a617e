"""Language models behind OpenAI-compatible endpoints, and the built-in echo."""
