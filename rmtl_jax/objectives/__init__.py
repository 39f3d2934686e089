"""What an actor descends: the loss of every row, of it alone or its session."""
