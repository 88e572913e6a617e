"""`/usage`, `/quota` and what administrators set."""
