"""placeholder"""

from app.config import Settings


def play(settings: Settings) -> None:
    """Play."""
