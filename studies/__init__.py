"""How the search runs: study, runners, front, tracking."""
