"""The OpenAI-compatible face of the chat."""
