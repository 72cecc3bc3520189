"""What ``aegis models new`` writes: a plug-in that trains as it is, on invented rows."""
