"""One-time tokens: the links and codes in mails."""
