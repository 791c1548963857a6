"""What loaders share: reading files, judgements, histories and published lists."""
