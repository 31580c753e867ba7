"""What happened: one folder per run, written atomically, read as one table."""
