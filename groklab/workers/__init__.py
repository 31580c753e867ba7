"""Many runs: here, in local processes, or on a cluster."""
