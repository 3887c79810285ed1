"""Who gets the next epochs: the model of one epoch, and the policies that ask it."""
