"""A hospital as a process: its folder, its rows for a plan, joining, and answering for ever."""
