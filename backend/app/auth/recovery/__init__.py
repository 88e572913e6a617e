"""Getting back into an account: forgotten passwords, and "this wasn't me"."""
