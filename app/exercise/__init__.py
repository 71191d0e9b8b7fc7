"""The Kahramanmaraş exercise, played over HTTP by five systems."""
