"""What maintainers run: pages made from the code, the picture, the bill of materials."""
