"""Plans: who can best cover what is asked for. Reads, and stores nothing."""
