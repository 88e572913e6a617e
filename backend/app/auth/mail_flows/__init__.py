"""The mails of accounts: what is sent when, and the pages that the links in them lead to."""
