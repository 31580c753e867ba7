"""What is asked: one training as a frozen value, when it may end, and named, cited recipes."""
