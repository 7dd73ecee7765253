"""What a long run keeps in a folder, and how it finds its own again."""
