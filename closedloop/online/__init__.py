"""Statistics of a stream, one reading at a time: compiled, of fixed size; what parts of the loop are made of."""
