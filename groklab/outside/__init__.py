"""What comes from outside, and what goes there: files that are bounded, text that is made fit to be shown, streams that never end what is done."""
