"""What programs ask over HTTP, and how it is described."""
