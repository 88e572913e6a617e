"""DuilioCode's conversation history: messages by the id of a client's session."""
