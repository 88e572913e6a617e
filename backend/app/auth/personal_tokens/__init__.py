"""Personal access tokens: what a person gives to a script in place of a password."""
