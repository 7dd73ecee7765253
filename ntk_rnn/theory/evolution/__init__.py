"""State evolution, Lemma C.1 of the paper: recursions with random matrices, in the wide limit."""
