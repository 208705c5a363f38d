"""Bitwuzla as a program that reads SMT-LIB commands: its package brings the library alone.

Without ``push`` and ``pop``, which its parser miscounts between commands: ``smtbmc --noincr``.
"""

import sys

import bitwuzla


def commands():
    """Whole commands from standard input, as they come."""
    text, depth = "", 0
    for line in sys.stdin:
        code = line.partition(";")[0]
        text += code
        # Names between bars may hold parentheses.
        depth += sum(part.count("(") - part.count(")") for part in code.split("|")[::2])
        if depth == 0 and text.strip():
            yield text
            text = ""


def main() -> None:
    if "--help" in sys.argv:
        print("usage: bitwuzla_stdin.py, options are ignored")
        return
    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, True)
    parser = bitwuzla.Parser(bitwuzla.TermManager(), options)
    for command in commands():
        if command.strip() == "(exit)":
            break
        parser.parse(command, False, False)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
