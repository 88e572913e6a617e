"""The two services that ours is measured against."""
