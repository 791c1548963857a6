"""Cards: one TOML file a dataset, read by `rec_gym.cards`."""
