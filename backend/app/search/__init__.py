"""Full-text search over what people have written, the same on every database."""
