"""The command line: ``striate COMMAND ... --flag value``. Each command lives in a file of its own."""

import sys
import traceback
from typing import Annotated

import typer

from striate.cli import data, doctor, evaluate, find_lr, models, predict, summary, train, tune
from striate.errors import InputError, ReportedError

app = typer.Typer(
    name="striate",
    help="Deep computer vision: from a folder of pictures to a trained, measured, explained model.",
    epilog="Start with: striate train digits. Any command takes --debug, to show where an error comes from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from striate import __version__

        typer.echo(f"striate {__version__}")
        raise typer.Exit


@app.callback()
def _before_commands(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version, and stop.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """The options that stand before a command."""


app.command()(train.train)
app.command()(find_lr.find_lr)
app.command()(tune.tune)
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(models.models)
app.command()(summary.summary)
app.add_typer(data.app, name="data")
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line, and tell errors in three lines; ``--debug`` shows where they come from."""
    from striate import runtime

    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        runtime.prepare()
        app()
    except SystemExit as end:
        if end.code == 130:  # Ctrl-C where nothing is to be saved
            sys.stderr.write("stopped\n")
        raise
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone; nothing is left to say
        sys.exit(0)
    except (ReportedError, OSError) as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError):  # a path that the system refuses: too long, not permitted, ...
            error = InputError(error.strerror or str(error), error.filename or "", "check the path")
        sys.stderr.write(f"{'stopped' if error.exit_code == 130 else 'error'}: {error}\n")
        sys.exit(error.exit_code)
