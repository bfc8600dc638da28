"""Root's side of releases on a unit: stage, try, commit, roll back."""
