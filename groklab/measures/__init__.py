"""What can be known of a model: functions of its parameters."""
