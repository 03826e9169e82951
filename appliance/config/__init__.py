"""Settings: the schema, the TOML decoder, the generated sample."""
