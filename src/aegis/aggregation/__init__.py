"""Many become one: rules over the update matrix, and what the coordinator does with the result."""
