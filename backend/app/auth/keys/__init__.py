"""The signing keys of access tokens: their states, their rotation, and their administration."""
