"""What is learned: one file per task, found by name through entry points."""
