"""What replies cost, and who may spend how much."""
