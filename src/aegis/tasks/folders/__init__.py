"""Files in folders, as hospitals keep them: which there are, what they hold, what they mean."""
