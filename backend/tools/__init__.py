"""Programs for those who work on the service; nothing in `app` imports them."""
