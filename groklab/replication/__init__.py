"""Published figures trained, drawn and judged."""
