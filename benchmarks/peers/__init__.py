"""What a user would otherwise run. Each is written as its own documentation would have it."""
