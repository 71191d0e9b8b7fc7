"""The ledger: what happened, who did it, in one order that every member can check."""
