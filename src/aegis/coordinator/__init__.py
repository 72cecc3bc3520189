"""The table: selection, steps from state to state, and the loop that saves before it acts."""
