"""Attempts: delays that grow, a lockout that survives everything but a supervisor or a new PIN."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.shift.attempts import FREE_ATTEMPTS, LOCK_AFTER, MAX_DELAY_S, Attempts
from tests.duty_builder import HASHES

NS_PER_S = 1_000_000_000
PIN = HASHES["4711"]


def failed(times, attempts=None, badge="4711"):
    attempts, t_ns = attempts or Attempts(), 0
    for _ in range(times):
        t_ns += round(attempts.wait_s(badge, t_ns) * NS_PER_S)
        attempts = attempts.begin(badge, PIN, t_ns)
    return attempts, t_ns


def test_the_first_attempts_are_free_and_then_delays_double():
    waits = []
    for times in range(1, LOCK_AFTER):
        attempts, t_ns = failed(times)
        waits.append(attempts.wait_s("4711", t_ns))
    assert waits[: FREE_ATTEMPTS - 1] == [0.0] * (FREE_ATTEMPTS - 1)
    assert waits[FREE_ATTEMPTS - 1 :] == [5, 10, 20, 40, 80]


def test_eight_failures_lock_and_a_success_before_forgets_them():
    attempts, t_ns = failed(LOCK_AFTER - 1)
    assert not attempts.of("4711", PIN).locked
    assert failed(1, attempts)[0].of("4711", PIN).locked
    attempts = attempts.begin("4711", PIN, t_ns).succeed("4711")
    assert attempts.of("4711", PIN).failed == attempts.failed == 0
    assert attempts.wait_s("4711", t_ns) == 0


def test_a_new_pin_in_the_roster_lifts_the_lockout():
    attempts, _ = failed(LOCK_AFTER)
    assert not attempts.of("4711", HASHES["4712"]).locked


def test_a_restart_starts_the_delay_anew():
    attempts, _ = failed(LOCK_AFTER - 1)
    again = Attempts(attempts.badges, attempts.failed).after_restart(7 * NS_PER_S)
    assert again.wait_s("4711", 7 * NS_PER_S) == 80
    assert again.of("4711", PIN).failed == LOCK_AFTER - 1


def test_one_badge_does_not_delay_another():
    attempts, t_ns = failed(LOCK_AFTER)
    assert attempts.wait_s("4712", t_ns) == 0


@given(st.integers(20, 60))
def test_many_badges_are_delayed_together(times):
    """Trying one PIN with all badges is limited as well."""
    attempts, t_ns = Attempts(), 0
    for n in range(times):
        attempts = attempts.begin(f"badge-{n}", PIN if n % 2 else None, t_ns)
    assert 5 <= attempts.wait_s("another", t_ns) <= MAX_DELAY_S
