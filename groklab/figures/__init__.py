"""What it looks like: a table in, a matplotlib figure out."""
