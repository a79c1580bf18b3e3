"""State and numbers of a session in words, bars and small charts, painted by hand in a fraction of a millisecond."""
