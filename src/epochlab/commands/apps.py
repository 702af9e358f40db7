"""How every group of subcommands looks."""

import typer


def make_app(text: str) -> typer.Typer:
    """Returns a group of subcommands with the help text `text`."""
    # Plain help without rich's boxes: half the time to load, and the same in a log file.
    return typer.Typer(
        help=text, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
    )
