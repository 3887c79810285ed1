"""Allocation of epochs to trials: the model of one epoch, and the policies that use it."""
