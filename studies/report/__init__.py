"""What a study found, for people: tables, plots, pages."""
