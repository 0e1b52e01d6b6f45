"""The artefacts that people install, tested as they are."""
