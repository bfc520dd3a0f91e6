"""Generated texts: how near they are to references, whether they parse, and which of two a person prefers."""
