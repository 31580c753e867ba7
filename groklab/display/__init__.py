"""What people see in a terminal and in a notebook: it renders, and decides nothing."""
