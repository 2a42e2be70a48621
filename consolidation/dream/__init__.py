"""Dreams: before a chunk is slept on, the model asks itself questions about it and answers them from its text; passes read them, too."""
