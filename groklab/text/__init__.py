"""How things are worded for people, in one place for terminal, figures, pages and reports."""
