"""How a study chooses what to try next, and what to stop."""
