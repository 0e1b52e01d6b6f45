"""The command line: findings to the terminal, SARIF, GitHub annotations and JSON; fixes to files."""
