"""The audit log as people read it, and what people do here as entries of it."""
