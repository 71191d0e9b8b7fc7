"""What a lot can promise. Pure."""


def available(quantity: int, keep_back: int, reserved: int) -> int:
    """What may still be promised: the count, less the owner's floor, less what is promised."""
    return max(0, quantity - keep_back - reserved)


def still_there(counted: int, left: int) -> int:
    """What is there now of what was counted, when so much has left since the count."""
    return max(0, counted - left)


def shortfall(quantity: int, reserved: int) -> int:
    """What is promised beyond the owner's count. The count is the truth; the promise is not met."""
    return max(0, reserved - quantity)


def ceiling(quantity: int, keep_back: int, reserved: int) -> int:
    """The most that may be reserved until the owner publishes again.

    It is what the count allows, or what is reserved already where the owner publishes less: then
    nothing new can be promised, and what was promised can only shrink.
    """
    return max(quantity - keep_back, reserved)
