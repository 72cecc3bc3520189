"""Behind the wall: the rows, the gates, the node. Coordinator code cannot import this."""
