"""The pages of a hospital's console, and what they show."""
