"""Accounts: users, sessions, tokens, passwords, limits and the audit trail."""
