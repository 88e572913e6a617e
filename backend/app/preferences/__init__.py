"""What people prefer: typed settings in layers, with their history."""
