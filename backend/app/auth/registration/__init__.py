"""Making an account: at once, after its address is confirmed, or by invitation."""
