# SPDX-License-Identifier: BSD-3-Clause
"""What a chapter of the tour is made of: claims. A claim is a function whose first docstring line says what is claimed; it
plays the experiment and its control, and returns what happened in both (Outcome), or raises Failed with the reason. Nothing
here knows of tidegate."""
import sys
import textwrap
import time
import traceback


class Failed(Exception):
    """An expectation did not hold; the text says which, with the values that were seen."""


def check(condition, reason):
    if not condition:
        raise Failed(reason)


class Outcome:
    def __init__(self, with_us, without, measured=""):
        self.with_us = with_us    # what happened with tidegate doing its part
        self.without = without    # the control experiment: the same with that part off, or without tidegate
        self.measured = measured


class Result:
    def __init__(self, claim, outcome, problem, seconds):
        self.claim = claim
        self.outcome = outcome  # None when it failed
        self.problem = problem
        self.seconds = seconds


class Chapter:
    """module: NUMBER, TITLE, CODE (paths of the files that do it), CLAIMS (functions)."""

    def __init__(self, module):
        self.number = module.NUMBER
        self.title = module.TITLE
        self.code = module.CODE
        self.claims = module.CLAIMS
        self.results = []

    def play(self, fleet):
        print(f"\n{self.number}. {self.title}", flush=True)
        for claim in self.claims:
            result = claim_play(claim, fleet)
            self.results.append(result)
            result_print(result)
        print(f"   code: {', '.join(self.code)}", flush=True)


def claim_play(claim, fleet):
    name = claim.__doc__.splitlines()[0].rstrip(".")
    started = time.monotonic()
    outcome, problem = None, ""
    try:
        outcome = claim(fleet)
    except Failed as error:
        problem = str(error)
    except Exception as error:  # a chapter that breaks must not hide the ones behind it
        at = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__}: {error} ({at.filename.rsplit('/', 1)[-1]}:{at.lineno})"
    return Result(name, outcome, problem, time.monotonic() - started)


def indented(label, text):
    print(textwrap.fill(" ".join(text.split()), 118, initial_indent=f"           {label:10}", subsequent_indent=" " * 21))


def result_print(result):
    print(f"   {'ok' if result.outcome else 'FAILED':7} {result.claim:<96} {result.seconds:5.1f} s")
    if result.outcome:
        indented("with", result.outcome.with_us)
        indented("without", result.outcome.without)
        if result.outcome.measured:
            indented("measured", result.outcome.measured)
    else:
        indented("why", result.problem[:1500])
    sys.stdout.flush()


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def table_print(chapters):
    """The whole tour as a Markdown table: the one in README.md."""
    print("\n| chapter | with tidegate | the same without | measured | code |\n|---|---|---|---|---|")
    for chapter in chapters:
        code = ", ".join(f"[{path.rsplit('/', 1)[-1]}]({path})" for path in chapter.code)
        for i, result in enumerate(chapter.results):
            first = f"**{chapter.number}. {chapter.title}** " if i == 0 else ""
            if result.outcome:
                cells = [result.outcome.with_us, result.outcome.without, result.outcome.measured]
            else:
                cells = [f"**FAILED**: {result.problem[:300]}", "", ""]
            print("| " + " | ".join([cell(first + result.claim), *map(cell, cells), code if i == 0 else ""]) + " |")


def counts(chapters):
    results = [result for chapter in chapters for result in chapter.results]
    passed = sum(result.outcome is not None for result in results)
    return passed, len(results) - passed
