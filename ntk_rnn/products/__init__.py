"""A recurrent matrix that is known through its products with few vectors."""
