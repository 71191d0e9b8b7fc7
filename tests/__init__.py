"""The tests."""

import pytest

# What they share tells what differs as the tests themselves do.
pytest.register_assert_rewrite("tests.desks", "tests.reckoning", "tests.week")
