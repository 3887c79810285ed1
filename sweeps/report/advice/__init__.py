"""What to try next: all that is advised on a study, each thing with its evidence."""
