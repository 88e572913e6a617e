"""Custom roles: permissions that administrators bundle and give to accounts, beside the built-in role of each."""
