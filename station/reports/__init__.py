"""Reports for a public, a legislature or a chief: counts of a period, which others can compute again."""
