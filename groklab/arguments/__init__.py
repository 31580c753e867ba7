"""What each verb of the command line takes, as dataclasses from which tyro builds the parsers."""
