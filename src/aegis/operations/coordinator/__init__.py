"""The coordinator as a process: its keys, its front desk, and one run after the other."""
