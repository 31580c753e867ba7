"""Ask for a run, and get its results, trained now or long ago."""
