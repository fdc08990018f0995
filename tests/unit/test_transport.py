"""A channel of the Redis transport keeps no room for a message that it cannot end while Redis is away.

Tests: worker.fetching.transport
"""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from kombu.transport import virtual

from worker.fetching.transport import QoS


@pytest.mark.parametrize("requeue", [True, False])
def test_a_message_that_cannot_be_ended_takes_no_room_any_more(requeue: bool) -> None:
    channel = Mock()
    qos = QoS(channel, prefetch_count=1)
    qos._on_collect.cancel()
    channel.give_back = channel.acknowledge = Mock(side_effect=TimeoutError)
    virtual.QoS.append(qos, Mock(), "tag")
    assert not qos.can_consume()
    with pytest.raises(TimeoutError):
        qos.reject("tag", requeue=requeue)
    assert qos.can_consume()
