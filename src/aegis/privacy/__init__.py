"""What noise, and what it costs: mechanisms, their exact price, and caps that hold."""
