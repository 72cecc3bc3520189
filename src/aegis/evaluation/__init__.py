"""How good is it: metrics and their intervals from counts that no single patient stands out in."""
