"""The list of ``make mutate`` fits the code."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import ROOT
from tests.mutations import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_change_applies_and_its_tests_exist(mutation):
    assert (ROOT / mutation.path).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert all((ROOT / test.split("::")[0]).exists() for test in mutation.tests)


def test_list_has_at_least_sixty_different_changes():
    counts = Counter((mutation.path, mutation.old, mutation.new) for mutation in MUTATIONS)
    assert len(counts) >= 60
    assert max(counts.values()) == 1
