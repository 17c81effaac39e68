"""What stands around a process that is not trusted: walls, limits, and its end."""
