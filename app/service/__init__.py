"""What runs the exchange as a service: the doorway of every request, logs, metrics, chores, docs."""
