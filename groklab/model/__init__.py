"""What learns: networks, one run at a time and many at once, and losses."""
