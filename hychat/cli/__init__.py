"""The command line: one module a command. Nothing else imports typer, and nothing else writes to stdout or stderr."""
