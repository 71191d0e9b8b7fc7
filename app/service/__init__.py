"""The service around the rooms: how it starts, answers, tells of itself and stops."""
