"""Who gets the next epochs: what a study knows, what it can expect, and what is granted."""
