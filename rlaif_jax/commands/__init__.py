"""Assembly: one short module a verb, which turns a config into objects and runs them.

Each module has `run(config, out, console) -> dict`, whose result is the `--json` line,
and `show(result, out)`, which prints it for a person.
"""
