"""The address of an account: proving it, changing it, undoing the change."""
