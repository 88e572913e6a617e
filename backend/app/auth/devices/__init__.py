"""Devices that an account knows, and the cookies that browsers keep."""
