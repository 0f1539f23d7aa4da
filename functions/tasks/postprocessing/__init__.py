"""Code that the assemblers of several tasks share. Must not know any one task."""
