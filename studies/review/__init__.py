"""What a person looks at to decide: pages of a study, and of several beside each other."""
