"""What lies outside the file: answers to the engine's questions, configuration, environments, files."""
