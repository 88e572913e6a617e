"""What this service publishes under `/.well-known/`."""
