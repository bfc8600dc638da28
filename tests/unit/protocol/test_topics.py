"""Topics: built and parsed without loss, and no name can address another unit's topics."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.errors import WireError
from protocol.wire.topics import Channel, Topic, build, parse, pattern
from tests.strategies import UNITS


@given(UNITS, st.sampled_from(Channel))
def test_topic_round_trip(unit, channel):
    """Topics name the unit and the kind of message."""
    assert Topic(unit, channel) == parse(build(unit, channel))


@given(st.text(max_size=60))
@example("lpr/1/unit-07/up/read/")
@example("lpr/1//up/read")
@example("lpr/1/unit-07/up")
@example("lpr/1/+/up/read")
@example("lpr/2/unit-07/up/read")
@example("lpr/1/unit-07\n/up/read")
@example("lpr/1/unit-07/st\n")
def test_a_foreign_topic_is_refused(topic):
    """Whatever is not exactly one of ours raises WireError and nothing else."""
    with pytest.raises(WireError):
        parse(topic)


@given(st.text(max_size=40), st.sampled_from(Channel))
@example("", Channel.READ)
@example("a/b", Channel.READ)
@example("+", Channel.READ)
@example("#", Channel.STATUS)
@example("$SYS", Channel.READ)
@example("unit-07\n", Channel.READ)
@example("ünit", Channel.READ)
@example("x" * 37, Channel.READ)
def test_a_unit_id_holds_no_separators_and_no_wildcards(unit, channel):
    """A unit id either is 1 to 36 plain characters, or there is no topic for it."""
    try:
        topic = build(unit, channel)
    except WireError:
        return
    assert Topic(unit, channel) == parse(topic)
    assert unit.isascii()
    assert set("/+#$ ").isdisjoint(unit)
    assert 1 <= len(unit) <= 36


@pytest.mark.parametrize("channel", Channel)
def test_subscription_filter_of_a_channel(channel):
    """The filter has one wildcard where the unit stands."""
    assert build("unit-07", channel) == pattern(channel).replace("+", "unit-07")
    assert pattern(channel).count("+") == 1
