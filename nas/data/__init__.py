"""Pictures: degradation, prepared sets, patches."""
