"""Reading a class of transformers: what its libraries say of themselves reaches nobody."""

from __future__ import annotations

import logging

from glossa.reference.classes import NOISY, quiet


def test_libraries_are_silent_for_a_while() -> None:
    """Within the block they report errors alone, after it as before."""
    loggers = [logging.getLogger(name) for name in NOISY]
    before = [logger.level for logger in loggers]
    with quiet():
        assert not any(logger.isEnabledFor(logging.WARNING) for logger in loggers)
    assert [logger.level for logger in loggers] == before
