"""Is it safe? Attacks on a finished model, and a verdict that the attacks can overturn."""
