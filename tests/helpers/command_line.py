"""The command `rec-gym`, called in this process."""

from typer.testing import CliRunner

from rec_gym.cli import app

runner = CliRunner()


def run(*arguments, input=None):
    return runner.invoke(app, [str(argument) for argument in arguments], input=input)


def good(*arguments, input=None):
    result = run(*arguments, input=input)
    assert result.exit_code == 0, result.output
    return result.output


def fails(*arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    return next(line for line in result.stderr.splitlines() if line.startswith("Error: "))
