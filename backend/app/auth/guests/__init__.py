"""People without an account, and how what they made becomes theirs."""
