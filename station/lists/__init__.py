"""The list authority's side of hot lists: import, alarm budget, comparison, signing."""
