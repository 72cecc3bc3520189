"""Other people's engines, each written as its own documentation would have it."""
