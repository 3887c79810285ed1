"""What the trials of a study come to when they are compared: which is best, and how sure it is."""
