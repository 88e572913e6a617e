"""Links that show a conversation to whoever has them."""
