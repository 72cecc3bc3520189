"""The next run and the present one: planned, started, steered, agreed on."""
