"""A user's table with blanks, filled or refused."""
