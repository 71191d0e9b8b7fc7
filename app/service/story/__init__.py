"""The story that the documentation tells: every operation once or more, in order, with its input.

The document takes its examples from here, and the tests play the very same steps against the
service: an example that would be refused cannot stand in the document for long. Ids are those of
`specimens`; whoever plays the story puts the real ones in their place.

Two societies play: Azerbaijan helps and Türkiye, which is the secretariat as well, asks. A
newcomer needs no more than two keys to follow.

No input holds a time that is refused once it has passed: the times that an operation compares
with the present (`expires_at`) are left out, and the pool is a standing team until 2099, so that
it still has people to promise in years to come. What is unique (a request's `ref`, a GLIDE
number) is left out too, so that *Execute* can be pressed twice.
"""

from app.service.story.help import END, GOODS, OFFERS, PEOPLE
from app.service.story.messages import MESSAGES
from app.service.story.needs import ACCESS, CATALOGUE, NEEDS, STOCK, VOLUNTEERS
from app.service.story.plans import MATCHING, TRANSPORT
from app.service.story.step import ASKER, HELPER, Step

__all__ = ["ASKER", "HELPER", "STORY", "Step"]

STORY = [
    *ACCESS, *CATALOGUE, *TRANSPORT, *STOCK, *VOLUNTEERS, *NEEDS, *MATCHING,
    *OFFERS, *GOODS, *PEOPLE, *END, *MESSAGES,
]  # fmt: skip
"""In the order in which it can be played."""
