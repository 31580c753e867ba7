"""What it means: functions of stored histories."""
