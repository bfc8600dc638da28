"""Root's part of releases on a unit: stage, try, commit, roll back."""
