"""Our engine beside others: the same hospitals, weights and batches, in one run on one machine."""
