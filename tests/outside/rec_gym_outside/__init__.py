"""A package that knows nothing of the one it extends but its public names: `card.toml` uses all that is here."""
