"""The subcommands of `epochlab`, a module each. Each loads what it needs when it is called."""
