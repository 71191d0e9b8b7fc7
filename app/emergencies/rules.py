"""Whose an emergency is: pure."""


def countries(country: str, glide: str | None) -> frozenset[str]:
    """The countries whose society may take an emergency over: the one that is hit, and the one that
    its GLIDE number names. Otherwise a number could be held by naming another country beside it.
    """
    return frozenset({country, glide.rpartition("-")[2]} if glide else {country})
