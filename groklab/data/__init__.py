"""What is to be learned: operations, groups, formulas and files as tables, and which cells are shown."""
